//! The little of Markdown that it takes to read our own.

use std::path::PathBuf;

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the project.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A README.
pub struct Readme {
    pub name: &'static str,
    pub text: String,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    pub language: String,
    pub text: String,
    /// True where nothing but blank lines stands between it and the block before.
    pub follows: bool,
}

impl Readme {
    pub fn both() -> [Self; 2] {
        ["README.md", "README.zh-CN.md"].map(|name| Self { name, text: read(name) })
    }

    /// The fenced blocks, without the indentation that they have in a list.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let (mut lines, mut follows) = (self.text.lines(), false);
        while let Some(line) = lines.next() {
            let Some(language) = line.trim_start().strip_prefix("```") else {
                follows &= line.trim().is_empty();
                continue;
            };
            let indentation = line.len() - line.trim_start().len();
            let text = lines
                .by_ref()
                .take_while(|line| line.trim() != "```")
                .map(|line| format!("{}\n", line.get(indentation..).unwrap_or_default()));
            blocks.push(Block {
                language: language.to_owned(),
                text: text.collect(),
                follows,
            });
            follows = true;
        }
        blocks
    }

    /// The blocks in `language`.
    pub fn blocks_in(&self, language: &str) -> Vec<String> {
        let blocks = self.blocks().into_iter().filter(|block| block.language == language);
        blocks.map(|block| block.text).collect()
    }

    /// The rows of all tables, a list of cells each.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let rows = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
        rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect())
            .collect()
    }
}

/// What stands in backticks.
pub fn code_spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether `text` is `pattern`, in which `…` stands for anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pieces, text) = (pattern.trim().split('…'), text.trim());
    let Some(mut rest) = pieces.next().and_then(|head| text.strip_prefix(head)) else {
        return false;
    };
    let mut last = None;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        last = Some(piece);
    }
    rest.is_empty() || last == Some("")
}

#[test]
fn an_ellipsis_stands_for_anything() {
    assert!(matches("{\"a\":\"…\",\"b\":1}", "{\"a\":\"xyz\",\"b\":1}\n"));
    assert!(matches("a…", "abc") && matches("abc", "abc") && matches("…c", "abc"));
    assert!(!matches("{\"a\":\"…\",\"b\":1}", "{\"a\":\"xyz\",\"b\":12}"));
    assert!(!matches("abc", "abcd") && !matches("b…", "abc"));
}
