# Sourced. ensure_python: sets PYTHON to a virtual environment (scripts/.venv) that
# holds exactly scripts/requirements.txt.

make_venv() {
  python3 -m venv --clear "$SCRIPTS/.venv" >&2 && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "python3 with venv is missing: installing it with apt-get" >&2
    apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2 \
      && python3 -m venv --clear "$SCRIPTS/.venv" >&2 && return
  fi
  echo "python3 (>= 3.10) with venv is missing: install it (Debian: apt-get install python3-venv)" >&2
  return 1
}

install_requirements() (
  cd "$SCRIPTS" || exit 1
  exec 9>.venv-install.lock
  flock 9
  cmp -s requirements.txt .venv/installed-requirements.txt && exit 0
  make_venv || exit 1
  # Every version is pinned, so nothing is left to resolve; `pip check` proves the list is complete.
  .venv/bin/python -m pip install --quiet --no-deps --requirement requirements.txt >&2 || exit 1
  .venv/bin/python -m pip check >&2 || exit 1
  cp requirements.txt .venv/installed-requirements.txt
)

ensure_python() {
  install_requirements || return 1
  PYTHON="$SCRIPTS/.venv/bin/python"
}
