//! What the command prints, word for word: help, version and wrong command lines.

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .env("HOME", "/nonexistent")
        .env("XDG_DATA_HOME", "")
        .env("WEFT_DIR", "")
        .case("tests/cmd/*.trycmd");
}
