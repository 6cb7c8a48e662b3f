//! As much Markdown as our own documents need.

use std::path::{Path, PathBuf};

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the project.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown file of the project that people read.
pub fn all_documents() -> Vec<String> {
    let mut documents = Vec::new();
    for folder in ["", ".github", "deploy", "docs", "docs/reference"] {
        for entry in std::fs::read_dir(project(folder)).unwrap() {
            let document = Path::new(folder).join(entry.unwrap().file_name());
            if document.extension().is_some_and(|extension| extension == "md") {
                documents.push(document.to_str().unwrap().to_owned());
            }
        }
    }
    documents.sort();
    documents
}

/// A document that exists in both languages.
pub struct Document {
    pub name: String,
    pub text: String,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    pub language: String,
    pub text: String,
    /// Whether nothing but blank lines is between it and the block before.
    pub follows: bool,
}

impl Document {
    /// A document of `docs/reference`, or `README`: English, then Chinese.
    pub fn both(name: &str) -> [Self; 2] {
        let path = if name == "README" {
            name.to_owned()
        } else {
            format!("docs/reference/{name}")
        };
        [format!("{path}.md"), format!("{path}.zh-CN.md")].map(|name| Self {
            text: read(&name),
            name,
        })
    }

    /// The READMEs, then every document of `docs/reference`.
    pub fn all() -> Vec<[Self; 2]> {
        let documents = all_documents();
        let reference = documents.iter().filter_map(|path| path.strip_prefix("docs/reference/"));
        // `name.md` and `name.zh-CN.md` give one name; a missing half is then missed by `both`.
        let mut names: Vec<&str> = reference.map(|file| file.split('.').next().unwrap()).collect();
        names.dedup();
        names.insert(0, "README");
        names.into_iter().map(Self::both).collect()
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

/// The lines of `text` that are not in fenced blocks.
pub fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    });
    lines.collect()
}

/// The names by which links reach the headings of `text`, as GitHub makes them.
pub fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            let kept = kept
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// What is in backticks.
pub fn code_spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether `text` is `pattern`, in which `…` is a wildcard.
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
fn ellipsis_in_a_pattern_is_a_wildcard() {
    assert!(matches("{\"a\":\"…\",\"b\":1}", "{\"a\":\"xyz\",\"b\":1}\n"));
    assert!(matches("a…", "abc") && matches("abc", "abc") && matches("…c", "abc"));
    assert!(!matches("{\"a\":\"…\",\"b\":1}", "{\"a\":\"xyz\",\"b\":12}"));
    assert!(!matches("abc", "abcd") && !matches("b…", "abc"));
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# What's new: `a_b`\n```sh\n# no heading\n```\n## 在 H5 页面里使用\n";
    assert_eq!(anchors(text), ["whats-new-a_b", "在-h5-页面里使用"]);
}
