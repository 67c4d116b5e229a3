# Sourced. One server under test on loopback: start_server LOG COMMAND..., stop_server.
# The pid is ours from `$!`; nothing is ever stopped by name.

SERVER_PID=
START_LIMIT_S=60
STOP_LIMIT_S=10

free_port() {
  "$NODE" -e '
    const server = require("node:net").createServer();
    server.listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); })'
}

accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start_server PORT LOG COMMAND...
start_server() {
  local port=$1 log=$2 deadline=$((SECONDS + START_LIMIT_S))
  shift 2
  "$@" >"$log" 2>&1 </dev/null &
  SERVER_PID=$!
  until accepts "$port"; do
    if ! kill -0 "$SERVER_PID" 2>/dev/null; then
      echo "the server ended before it listened on port $port:" >&2
      tail -n 20 "$log" >&2
      return 1
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "the server does not listen on port $port after $START_LIMIT_S s:" >&2
      tail -n 20 "$log" >&2
      return 1
    fi
    sleep 0.1
  done
}

server_alive() { [ -n "$SERVER_PID" ] && kill -0 "$SERVER_PID" 2>/dev/null; }

stop_server() {
  [ -n "$SERVER_PID" ] || return 0
  local deadline=$((SECONDS + STOP_LIMIT_S))
  kill "$SERVER_PID" 2>/dev/null
  while kill -0 "$SERVER_PID" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "the server ignores SIGTERM for $STOP_LIMIT_S s: killed" >&2
      kill -KILL "$SERVER_PID" 2>/dev/null
      break
    fi
    sleep 0.1
  done
  wait "$SERVER_PID" 2>/dev/null
  SERVER_PID=
}
