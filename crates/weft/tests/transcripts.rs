//! What the command prints, word for word: help, version and wrong command lines.

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .env("WEFT_DIR", "/nonexistent/weft")
        .case("tests/cmd/*.trycmd");
}
