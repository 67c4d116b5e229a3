# What the scripts that seed faults share: each row of `rows` breaks one line in a copy of the crate `package`, which must turn
# its test red; without the fault the same test must be green.
#
# fault | file under src | what stands there, once | what is put there | loom, shuttle or the name of a test | which test
# Only ever reached by a run that hangs, which counts as red where a fault is seeded.
limit=200
export FREEHOLD_PROGRAMS="${FREEHOLD_PROGRAMS:-20000}"
copy=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$copy" "$log"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
targets=${CARGO_TARGET_DIR:-$PWD/target}/seeded-faults

# run SUITE TEST: builds and runs it in the copy.
run() {
  local suite=$1 filter=$2 select=(--lib --release) flags=
  case $suite in
    loom | shuttle) flags="--cfg $suite" ;;
    *) select=(--test "$suite") ;;
  esac
  local cargo=(env RUSTFLAGS="$flags" CARGO_TARGET_DIR="$targets/${flags:+$suite}" cargo test -q
    --manifest-path "$copy/Cargo.toml" -p "$package" "${select[@]}")
  "${cargo[@]}" --no-run >"$log" 2>&1 || return 3
  timeout "$limit" "${cargo[@]}" -- "$filter" >"$log" 2>&1
  local code=$?
  # A name that is nobody's is green for nothing.
  grep -q "^running [1-9]" "$log" || return 4
  return "$code"
}

colour() {
  case $1 in
    0) echo green ;;
    3) echo "does not build" ;;
    4) echo "no such test" ;;
    *) echo red ;;
  esac
}

# break FILE FROM TO: fails unless FROM is there exactly once.
break_line() {
  FROM=$2 TO=$3 perl -0pi -e '
    my ($from, $to) = map { s/\\n/\n/gr =~ s/\\([|&])/$1/gr } @ENV{qw(FROM TO)};
    my $seen = s/\Q$from\E/$to/g;
    die "seeded faults: \"$from\" is there $seen times\n" unless $seen == 1;
  ' "$1"
}

wanted() {
  [ $# -eq 1 ] && return
  local fault=$1
  shift
  [[ " $* " == *" $fault "* ]]
}

# each COMMAND...: for each row that is wanted, with its cells in variables.
each() {
  local row
  while IFS= read -r row; do
    IFS=$'\t' read -r fault file from to suite filter < <(perl -pe 's/(?<!\\)\|/\t/g' <<<"$row")
    [ -n "$fault" ] && wanted "$fault" "${faults[@]}" || continue
    begun=$SECONDS
    "$@"
  done <<<"$rows"
}

tell() {
  printf '%-42s %-10s %-14s %-14s %4d s\n' "$fault" "$suite" "$1" "$2" $((SECONDS - begun))
  [ "$3" = "$4" ] && return
  failures=$((failures + 1))
  tail -n 40 "$log" >&2
}

declare -A seen
healthy() {
  local test="$suite $filter"
  [ -z "${seen[$test]:-}" ] || return
  run "$suite" "$filter"
  seen[$test]=$(colour $?)
  tell "${seen[$test]}" "" "${seen[$test]}" green
}

broken() {
  local source=$copy/crates/$package/src/$file colour
  cp "$source" "$copy/whole"
  break_line "$source" "$from" "$to" || { failures=$((failures + 1)); return; }
  run "$suite" "$filter"
  colour=$(colour $?)
  cp "$copy/whole" "$source"
  tell "" "$colour" "$colour" red
}

failures=0
faults=("$@")
printf '%-42s %-10s %-14s %-14s %6s\n' fault suite without with time
# All that is whole first: it is built once for each suite.
each healthy
each broken
if [ "$failures" -gt 0 ]; then
  echo "seeded faults: $failures tests were not green without their faults and red with them" >&2
  exit 1
fi
