# `just` lists the recipes; each server takes the options of its example,
# as in `just echo --listen 127.0.0.1:7001`.

_default:
    @just --list --unsorted

# The room: what one member says, all others read
chat *options:
    exec cargo run --release --example chat -- {{options}}

# Sends every line back
echo *options:
    exec cargo run --release --example echo -- {{options}}

# A web server of files
http *options:
    exec cargo run --release --example http -- {{options}}

# Forwards connections, as in `just proxy --to 127.0.0.1:7000`
proxy *options:
    exec cargo run --release --example proxy -- {{options}}

# Everything in one loop, with a command line
mixed *options:
    exec cargo run --release --example mixed -- {{options}}

# A mail server that prints what it gets
smtpd *options:
    exec cargo run --release --example smtpd -- {{options}}

# Gets pages, all at once
http_client *urls:
    exec cargo run --release --example http_client -- {{urls}}

# Prints what programs log, by UDP and by a Unix socket
syslog *options:
    exec cargo run --release --example syslog -- {{options}}

# An authority and a certificate for `localhost`, in target/certs
certs:
    #!/usr/bin/env bash
    set -euo pipefail
    mkdir -p target/certs && cd target/certs
    [[ -e cert.pem ]] && exit
    new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    openssl req -x509 "${new[@]}" -days 365 -keyout ca.key -out ca.pem -subj '/CN=an authority'
    openssl req "${new[@]}" -keyout key.pem -out request.pem -subj '/CN=localhost'
    printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >extensions
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
        -extfile extensions -out cert.pem

# A server over TLS: echo, http, chat or smtpd, as in `just tls echo --listen 127.0.0.1:7443`
tls example *options: certs
    exec cargo run --release --features tls --example {{example}} -- \
        --tls-cert target/certs/cert.pem --tls-key target/certs/key.pem {{options}}

# All tests
test:
    cargo test --workspace

# What uNetworking/h1spec says of the web server; needs deno. Its two POSTs go to /echo: here, files take none
h1spec:
    #!/usr/bin/env bash
    set -euo pipefail
    commit=f0a5650a20c575fbea0f7179a3a9cfa50f20ba6e
    command -v deno >/dev/null || { echo "skipped: no deno"; exit 0; }
    cargo build --release --example http
    work=$(mktemp -d)
    trap 'kill "${server:-}" 2>/dev/null; rm -r "$work"' EXIT
    curl -fsS "https://raw.githubusercontent.com/uNetworking/h1spec/$commit/http_test.ts" |
        sed 's|"POST / |"POST /echo |' >"$work/http_test.ts"
    mkfifo "$work/stdout"
    RUST_LOG=warn target/release/examples/http --listen 127.0.0.1:0 --root fuzz/site >"$work/stdout" &
    server=$!
    read -r _ _ address <"$work/stdout"
    deno run --allow-net "$work/http_test.ts" "${address%:*}" "${address#*:}"

# What tlsfuzzer says of the web server over TLS. TLSFUZZER names its folder, PYTHON one that has its tlslite-ng
tlsfuzz:
    #!/usr/bin/env bash
    set -euo pipefail
    python=${PYTHON:-python3}
    [[ -d ${TLSFUZZER:-}/scripts ]] || { echo "skipped: no tlsfuzzer in \$TLSFUZZER"; exit 0; }
    "$python" -c 'import tlslite' 2>/dev/null || { echo "skipped: no tlslite-ng in $python"; exit 0; }
    command -v openssl >/dev/null || { echo "skipped: no openssl"; exit 0; }
    cargo build --release -p examples --features tls --example http
    work=$(mktemp -d)
    trap 'kill "${server:-}" 2>/dev/null; rm -r "$work"' EXIT
    mkdir "$work/site" && mkfifo "$work/stdout"
    openssl req -x509 -newkey rsa:2048 -nodes -days 9 -keyout "$work/key.pem" -out "$work/cert.pem" \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
    RUST_LOG=error target/release/examples/http --listen 127.0.0.1:0 --root "$work/site" \
        --tls-cert "$work/cert.pem" --tls-key "$work/key.pem" >"$work/stdout" &
    server=$!
    read -r _ _ address <"$work/stdout"
    "$python" crates/tls/tests/tlsfuzzer.py "$TLSFUZZER" "${address##*:}"

# What is run before anything lands
ci:
    bash .ci/run

# The documentation of both crates
doc:
    cargo doc --workspace --no-deps --open

# Fresh scenarios through CPython's asynchat and through ours; CHAT_SEED=7 just oracle 5000 repeats a run
oracle count="100000":
    ORACLE={{count}} cargo test --release -p chat --test it oracle::fresh

# Records again what CPython's asynchat does
oracle-record:
    ORACLE_RECORD=1 cargo test -p chat --test it oracle::the_outcomes

# Looks for input that breaks `framer` or `http`, as in `just fuzz http -max_total_time=600`; needs nightly, and `cargo install cargo-fuzz`
fuzz name *options:
    python3 fuzz/corpus.py unpack {{name}}
    cargo +nightly fuzz run {{name}} -- {{options}}

# Keeps what the fuzz target has found, as little of it as reaches the same code, for `cargo test`
fuzz-keep name:
    cargo +nightly fuzz cmin {{name}} -- -max_len=40
    python3 fuzz/corpus.py pack {{name}}

# Whether a test fails with the code broken in about 100 places, every 17th from one at random; needs `cargo install cargo-mutants`
mutants *options:
    CARGO_PROFILE_DEV_DEBUG=0 cargo mutants -p reactor -p chat -j2 \
        --sharding round-robin --shard "$(shuf -i 0-16 -n 1)/17" {{options}}

# Which functions one echoed line goes through; --write puts them in docs/architecture.md
way *options:
    python3 docs/way.py {{options}}

# What a server spends, beside others; writes docs/performance.md
bench *options:
    cargo run --release --manifest-path crates/bench/Cargo.toml -- --write {{options}}

# The same, shortened; nothing is written
bench-quick *options:
    cargo run --release --manifest-path crates/bench/Cargo.toml -- --quick {{options}}
