# Short names for the scripts, which do all the work.
demo:
    cargo run -- serve --sandbox
test *args:
    scripts/test {{args}}
lint:
    cargo fmt --all
    scripts/test --only lints
fuzz *args:
    scripts/fuzz {{args}}
bench *cases:
    scripts/bench {{cases}}
