# Sourced. ensure_cxx: there is a C++ compiler, which libFuzzer is built with.

ensure_cxx() {
  command -v c++ >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "a C++ compiler is missing: installing one with apt-get" >&2
    apt-get update -qq >&2 && apt-get install -y -qq g++ >&2 && return
  fi
  echo "a C++ compiler is missing: install one (Debian: apt-get install g++; Fedora: dnf install gcc-c++)" >&2
  return 1
}
