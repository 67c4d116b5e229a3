# Sourced: the release build that all scripts share. Needs ROOT.
#   FREEHOLD_PROFILE   another profile: `quick` is built in a third of the time, for what does not measure

RELEASE_PROFILE=${FREEHOLD_PROFILE:-release}

# The same packages every time: cargo unites the features of what it builds together, so another set would be another build of
# most dependencies. The program stands alone: examples bring the features of development dependencies with them. Of those only
# the two that scripts drive: each is linked, and optimized across crates, by itself.
build_release() {
  (cd "$ROOT" && cargo build --profile "$RELEASE_PROFILE" -q --locked -p freehold-cli &&
    cargo build --profile "$RELEASE_PROFILE" -q --locked -p freehold-mcp -p freehold-rmcp \
      --example everything --example everything_rmcp)
}

release_dir() { echo "${CARGO_TARGET_DIR:-$ROOT/target}/$RELEASE_PROFILE"; }
