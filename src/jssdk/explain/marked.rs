//! Marks where two texts differ.

/// A text, split where it differs from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The common beginning.
    pub before: String,
    /// What differs: whole characters and whole escapes.
    pub differing: String,
    /// The common end.
    pub after: String,
}

/// Marks what lies between the longest common prefix and the longest common suffix of `a` and `b`.
pub(super) fn mark(a: &str, b: &str) -> (Marked, Marked) {
    let equal = |(a, b): &(u8, u8)| a == b;
    let head = a.bytes().zip(b.bytes()).take_while(equal).count();
    let head = start_of_unit(a, head).min(start_of_unit(b, head));
    let tails = a[head..].bytes().rev().zip(b[head..].bytes().rev());
    let tail = tails.take_while(equal).count();
    let end = |text: &str| end_of_unit(text, text.len() - tail);
    // The same number of bytes from the end in both.
    let tail = (a.len() - end(a)).min(b.len() - end(b));
    let marked = |text: &str| Marked {
        before: text[..head].to_owned(),
        differing: text[head..text.len() - tail].to_owned(),
        after: text[text.len() - tail..].to_owned(),
    };
    (marked(a), marked(b))
}

/// The start of the character or escape that contains `at`.
fn start_of_unit(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    escape_around(text, at).unwrap_or(at)
}

/// The end of the character or escape that contains `at`.
fn end_of_unit(text: &str, at: usize) -> usize {
    let at = text.ceil_char_boundary(at);
    escape_around(text, at).map_or(at, |start| start + 3)
}

/// The start of the `%XX` that contains `at`.
fn escape_around(text: &str, at: usize) -> Option<usize> {
    let is_escape = |start: &usize| match text.as_bytes()[*start..] {
        [b'%', first, second, ..] => first.is_ascii_hexdigit() && second.is_ascii_hexdigit(),
        _ => false,
    };
    (1..=2).filter_map(|back| at.checked_sub(back)).find(is_escape)
}

impl Marked {
    pub fn whole(&self) -> String {
        [self.before.as_str(), &self.differing, &self.after].concat()
    }

    /// Shortened to one line: long texts keep only what is around the mark, with `…` for the rest.
    #[must_use]
    pub fn shortened(&self) -> Self {
        const BEFORE: usize = 60;
        const DIFFERING: usize = 120;
        const AFTER: usize = 30;
        let start = self
            .before
            .floor_char_boundary(self.before.len().saturating_sub(BEFORE));
        let before = &self.before[start..];
        Self {
            before: format!("{}{before}", if start > 0 { "…" } else { "" }),
            differing: cut(&self.differing, DIFFERING),
            after: cut(&self.after, AFTER),
        }
    }

    /// The first bytes of what differs, in hex.
    pub fn hex(&self) -> String {
        const MOST: usize = 16;
        let bytes = self.differing.as_bytes();
        let shown: Vec<String> = bytes.iter().take(MOST).map(|byte| format!("{byte:02x}")).collect();
        let more = if bytes.len() > MOST { " …" } else { "" };
        shown.join(" ") + more
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marked_parts_add_up_to_the_texts(a in "https://a.cn/[a-c%14中丰é]{0,8}", b in "https://a.cn/[a-c%14中丰é]{0,8}") {
            let (left, right) = mark(&a, &b);
            prop_assert_eq!(left.whole(), a);
            prop_assert_eq!(right.whole(), b);
            prop_assert_eq!((left.before, left.after), (right.before, right.after));
        }
    }
}
