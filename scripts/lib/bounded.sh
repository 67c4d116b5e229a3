# Sourced. bounded SECONDS COMMAND...: a time limit that only means failure. The command is a background
# child, because bash runs a trap at once during `wait` but only after a foreground command has ended.

BOUNDED_PID=

bounded() {
  local limit=$1 code
  shift
  timeout -k 10 "$limit" "$@" </dev/null &
  BOUNDED_PID=$!
  wait "$BOUNDED_PID"
  code=$?
  BOUNDED_PID=
  return "$code"
}

# `timeout` passes the signal on to its command.
stop_bounded() {
  [ -z "$BOUNDED_PID" ] || kill "$BOUNDED_PID" 2>/dev/null
  BOUNDED_PID=
}
