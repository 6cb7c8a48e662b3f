//! What checks find, by key; the loader adds where the key was written.

/// Something that does not fit together.
pub(crate) struct Finding {
    /// The keys it is about; the first is the one to name.
    pub(crate) keys: Vec<String>,
    pub(crate) text: String,
}

/// What has been found so far.
#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    /// Records `text` about `keys` unless `fits`.
    pub(crate) fn require(&mut self, fits: bool, keys: &[&str], text: impl Into<String>) {
        if !fits {
            self.0.push(Finding {
                keys: keys.iter().map(|key| (*key).to_owned()).collect(),
                text: text.into(),
            });
        }
    }
}
