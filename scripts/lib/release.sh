# Sourced: the programs that scripts drive, built as they are released. Needs ROOT.
#   FREEHOLD_PROFILE=dev   as tests are built, which is done already where those have run: for what does not measure

RELEASE_PROFILE=${FREEHOLD_PROFILE:-release}

# The same packages every time: cargo unites the features of what it builds together, so another set would be another build of
# most dependencies. The program stands alone: examples bring the features of development dependencies with them. Of those only
# the two that scripts drive: each is linked, and optimized across crates, by itself.
build_release() {
  (cd "$ROOT" && if [ "$RELEASE_PROFILE" = dev ]; then
    # With what `cargo test --workspace` builds together.
    cargo build -q --locked --workspace --bin freehold --bin bench-soak --example everything --example everything_rmcp
  else
    cargo build --profile "$RELEASE_PROFILE" -q --locked -p freehold-cli &&
      cargo build --profile "$RELEASE_PROFILE" -q --locked -p freehold-mcp -p freehold-rmcp \
        --example everything --example everything_rmcp
  fi)
}

release_dir() {
  # The folder of the profile `dev` has another name.
  echo "${CARGO_TARGET_DIR:-$ROOT/target}/${RELEASE_PROFILE/#dev/debug}"
}
