# Sourced. ensure_node: sets NODE to the pinned Node 22 and leaves the packages of
# scripts/package-lock.json in scripts/node_modules.

ensure_npm() {
  command -v npm >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "npm is missing: installing it with apt-get" >&2
    apt-get update -qq >&2 && apt-get install -y -qq npm >&2 && return
  fi
  echo "npm is missing: install it (Debian: apt-get install npm; Fedora: dnf install npm)" >&2
  return 1
}

install_packages() (
  cd "$SCRIPTS" || exit 1
  exec 9>.npm-install.lock
  flock 9
  # A copy of the lock, written last, also tells a finished installation from a broken one.
  cmp -s package-lock.json node_modules/.installed-lock && exit 0
  ensure_npm || exit 1
  npm ci --no-progress --loglevel=error >&2 || exit 1
  cp package-lock.json node_modules/.installed-lock
)

ensure_node() {
  install_packages || return 1
  # The lock brings Node for Linux on x64 and arm64 (only the fitting one is installed, and npm 9 links
  # no command for it); elsewhere a system Node must do.
  NODE=$(echo "$SCRIPTS"/node_modules/node-linux-*/bin/node)
  [ -x "$NODE" ] || NODE=$(command -v node) || NODE=
  if [ -z "$NODE" ] || ! "$NODE" -e '
      const [major, minor] = process.versions.node.split(".").map(Number);
      process.exit(major > 22 || (major === 22 && minor >= 19) ? 0 : 1)'; then
    echo "no Node >= 22.19 for this platform: install one and put it first in PATH" >&2
    return 1
  fi
}
