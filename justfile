# `just` lists the recipes; each server takes the options of its example,
# as in `just echo --listen 127.0.0.1:7001`.

_default:
    @just --list --unsorted

# The room: what one member says, all others read
chat *options:
    cargo run --release --example chat -- {{options}}

# Sends every line back
echo *options:
    cargo run --release --example echo -- {{options}}

# All tests
test:
    cargo test --workspace

# What is run before anything lands
ci:
    bash .ci/run

# The documentation of both crates
doc:
    cargo doc --workspace --no-deps --open
