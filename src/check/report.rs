//! The findings of a check, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::account::AppId;

/// The state of one checked thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As expected.
    Ok,
    /// It works, but an operator should know.
    Warning,
    /// The gateway can't work with this.
    Failed,
}

impl CheckState {
    fn mark(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: `settings`, `js_domains`, `proxy`, `redis`, `wechat`, `clock`, `account`, `image_store`, `auth`.
    pub check: &'static str,
    /// The account, if it concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<AppId>,
    pub state: CheckState,
    /// What was found. Contains no secret.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Finding {
    fn new(check: &'static str, state: CheckState, message: impl Into<String>) -> Self {
        Self {
            check,
            app_id: None,
            state,
            message: message.into(),
            cure: None,
        }
    }

    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, CheckState::Ok, message)
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, CheckState::Warning, message)
    }

    pub(super) fn failed(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, CheckState::Failed, message)
    }

    pub(super) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    pub(super) fn about(mut self, app_id: &AppId) -> Self {
        self.app_id = Some(app_id.clone());
        self
    }

    fn differs_in_account_only(&self, other: &Self) -> bool {
        self.app_id.is_some()
            && other.app_id.is_some()
            && (self.check, self.state, &self.message, &self.cure)
                == (other.check, other.state, &other.message, &other.cure)
    }

    /// What it is about, with the account.
    pub fn subject(&self) -> String {
        match &self.app_id {
            None => self.check.to_owned(),
            Some(app_id) => format!("{} {app_id}", self.check),
        }
    }
}

/// All findings.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The worst of the findings.
    pub state: CheckState,
    /// In a fixed order.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let worst = findings.iter().map(|finding| finding.state).max();
        Self {
            state: worst.unwrap_or(CheckState::Ok),
            findings,
        }
    }

    pub fn in_state(&self, state: CheckState) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.state == state)
    }

    fn lines(&self) -> Vec<ReportLine<'_>> {
        let mut alike: Vec<Vec<&Finding>> = Vec::new();
        for finding in &self.findings {
            match alike.iter_mut().find(|group| group[0].differs_in_account_only(finding)) {
                Some(group) => group.push(finding),
                None => alike.push(vec![finding]),
            }
        }
        alike.iter().flat_map(|group| lines_about(group)).collect()
    }
}

/// If the same is found for more accounts than this, they share one line.
const SEPARATE_LINES: usize = 5;

/// A finding, or the same one for many accounts.
struct ReportLine<'a> {
    subject: String,
    finding: &'a Finding,
    /// The accounts, if there are many and something should be done about them.
    accounts: Option<String>,
}

fn lines_about<'a>(alike: &[&'a Finding]) -> Vec<ReportLine<'a>> {
    if alike.len() <= SEPARATE_LINES {
        let line = |finding: &&'a Finding| ReportLine {
            subject: finding.subject(),
            finding,
            accounts: None,
        };
        return alike.iter().map(line).collect();
    }
    let finding = alike[0];
    let app_ids = alike.iter().filter_map(|finding| finding.app_id.as_ref());
    let app_ids: Vec<String> = app_ids.map(AppId::to_string).collect();
    vec![ReportLine {
        subject: format!("{}, {} accounts", finding.check, alike.len()),
        finding,
        accounts: (finding.state != CheckState::Ok).then(|| name_some(&app_ids)),
    }]
}

/// The first of `names`, and how many more there are.
pub fn name_some(names: &[String]) -> String {
    const NAMED: usize = 10;
    let (first, more) = names.split_at(names.len().min(NAMED));
    let more = match more.len() {
        0 => String::new(),
        many => format!(" and {many} more (--json has all)"),
    };
    format!("{}{more}", first.join(", "))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let width = lines.iter().map(|line| line.subject.len()).max().unwrap_or_default();
        for line in &lines {
            let (subject, finding) = (&line.subject, line.finding);
            writeln!(f, "{:<7}  {subject:<width$}  {}", finding.state.mark(), finding.message)?;
            if let Some(accounts) = &line.accounts {
                writeln!(f, "{:7}  {:width$}  {accounts}", "", "")?;
            }
            if let Some(cure) = &finding.cure {
                writeln!(f, "{:7}  {:width$}  what to do: {cure}", "", "")?;
            }
        }
        let count = |state| self.in_state(state).count();
        let (ok, warnings, failed) = (
            count(CheckState::Ok),
            count(CheckState::Warning),
            count(CheckState::Failed),
        );
        write!(f, "\n{ok} ok, {warnings} warnings, {failed} failed")
    }
}
