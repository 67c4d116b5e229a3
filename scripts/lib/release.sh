# Sourced: the release build that all scripts share. Needs ROOT.

# The same packages every time: cargo unites the features of what it builds together, so another set would be another build of
# most dependencies. The program stands alone: examples bring the features of development dependencies with them.
build_release() {
  (cd "$ROOT" && cargo build --release -q --locked -p freehold-cli &&
    cargo build --release -q --locked -p freehold-mcp -p freehold-rmcp --examples)
}

release_dir() { echo "${CARGO_TARGET_DIR:-$ROOT/target}/release"; }
