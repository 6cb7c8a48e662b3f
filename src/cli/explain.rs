//! `wxgate explain`: why WeChat says `invalid signature`.

mod compared;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::{CommandFailure, ConfigArgs, block_on, print};
use crate::check::CredentialProbe;
use crate::jssdk::explain::{
    self, CandidateTickets, Claim, Comparison, MISTAKES, Mistake, OTHER_CAUSES, REMAINING_CAUSES, Verdict,
};
use crate::secret::Secret;
use crate::settings::{Account, Settings};
use crate::words::Words;

#[derive(Args)]
#[command(after_help = "\
Examples:
  What is wrong with this signature? The ticket comes from the gateway's settings:
    wxgate explain --config wxgate.toml --url 'https://h5.example.com/p?x=1' \\
      --nonce Wm3WZYTPz0wzccnW --timestamp 1414587457 --signature 0f9de62fce790f9a083d5c99e95740ceb90c27ed
  Did the page send its own URL? The signing call, copied from the browser's network tab, needs no ticket:
    wxgate explain --url 'https://h5.example.com/p?x=1' \\
      --request 'https://gw.example.com/wechat/jsSDK?url=https%3A%2F%2Fh5.example.com%2Fp'")]
pub(super) struct ExplainArgs {
    /// The page's full URL, as in the address bar
    #[arg(long)]
    url: String,
    /// The signing call (…/wechat/jsSDK?url=…), as copied from the browser's network tab: a URL, a request line, a
    /// curl command or a fetch call. Its `url` is compared with --url, byte by byte
    #[arg(long, value_name = "URL")]
    request: Option<String>,
    /// The nonceStr that the page passed to wx.config
    #[arg(long, allow_hyphen_values = true, required_unless_present = "request", requires_all = ["timestamp", "signature"])]
    nonce: Option<String>,
    /// The timestamp that the page passed to wx.config
    #[arg(long, required_unless_present = "request", requires = "nonce")]
    timestamp: Option<String>,
    /// The signature that the page passed to wx.config
    #[arg(long, required_unless_present = "request", requires = "nonce")]
    signature: Option<String>,
    /// The `jsapi_ticket`; given more than once, the first is the right one and the others are tried too
    #[arg(long = "ticket", value_name = "TICKET", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    tickets: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Which of the accounts in the settings [default: the first]
    #[arg(long, value_name = "APPID", conflicts_with = "tickets")]
    app_id: Option<String>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ExplainArgs) -> Result<(), CommandFailure> {
    let unusable = |expected: Words| CommandFailure::Settings(expected.en.to_owned());
    let compare = |request: &String| explain::compare(request, &args.url);
    let comparison = args.request.as_ref().map(compare).transpose().map_err(unusable)?;
    let explained = match claim(args).transpose().map_err(unusable)? {
        Some(claim) => {
            let verdict = explain::explain(&claim, &tickets(args)?);
            Some((claim, verdict))
        }
        None => None,
    };
    if args.json {
        let mut found = explained
            .as_ref()
            .map_or(json!({}), |(claim, verdict)| as_json(claim, verdict));
        if let Some(comparison) = &comparison {
            found["request"] = compared::as_json(comparison);
        }
        print(&found.to_string())?;
    } else {
        let texts = comparison.iter().map(compared::as_text);
        let texts = texts.chain(explained.iter().map(|(claim, verdict)| as_text(claim, verdict)));
        print(&texts.collect::<Vec<_>>().join("\n\n"))?;
    }
    let differs = !matches!(comparison, None | Some(Comparison::Same(_)));
    match explained {
        Some((_, Verdict::Unexplained)) if !differs => Err(CommandFailure::Running(
            "no known mistake produces this signature".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// What the page passed to `wx.config`, if given.
fn claim(args: &ExplainArgs) -> Option<Result<Claim, Words>> {
    let (nonce, timestamp) = (args.nonce.as_deref()?, args.timestamp.as_deref()?);
    Some(Claim::new(&args.url, nonce, timestamp, args.signature.as_deref()?))
}

fn tickets(args: &ExplainArgs) -> Result<CandidateTickets, CommandFailure> {
    let mut given = args.tickets.iter().map(Secret::new);
    match given.next() {
        Some(current) => Ok(CandidateTickets {
            current,
            others: given.collect(),
            tokens: Vec::new(),
        }),
        None => tickets_of_the_gateway(args),
    }
}

/// The ticket that the gateway's cluster signs with, and what may have been mistaken for it.
fn tickets_of_the_gateway(args: &ExplainArgs) -> Result<CandidateTickets, CommandFailure> {
    let settings = Settings::load(&args.config.sources()).map_err(|problems| {
        CommandFailure::Settings(format!("pass --ticket, or correct the gateway's settings:\n{problems}"))
    })?;
    let account = chosen(&settings, args.app_id.as_deref())?;
    if !account.jsapi {
        let text = format!(
            "{} does not sign pages: its jsapi is false in the settings",
            account.app_id
        );
        return Err(CommandFailure::Settings(text));
    }
    let probe = CredentialProbe::open(&settings).map_err(|finding| CommandFailure::Settings(finding.message))?;
    block_on(async {
        let no_ticket = |error| CommandFailure::Running(format!("there is no ticket to compare with: {error}"));
        let mut tickets = CandidateTickets {
            current: probe.ticket(account).await.map_err(no_ticket)?,
            ..CandidateTickets::default()
        };
        for other in &settings.accounts {
            tickets.tokens.extend(probe.shared_token(&other.app_id).await);
            if other.app_id != account.app_id && other.jsapi {
                tickets.others.extend(probe.ticket(other).await.ok());
            }
        }
        Ok(tickets)
    })
}

fn chosen<'a>(settings: &'a Settings, app_id: Option<&str>) -> Result<&'a Account, CommandFailure> {
    let mut accounts = settings.accounts.iter();
    let found = accounts.find(|account| app_id.is_none_or(|app_id| account.app_id.as_str() == app_id));
    found.ok_or_else(|| {
        let known = settings.accounts.iter().map(|account| account.app_id.as_str());
        let known: Vec<&str> = known.collect();
        CommandFailure::Settings(format!("--app-id: the settings have {}", known.join(", ")))
    })
}

fn with_warning(text: String, warning: Option<Words>) -> String {
    match warning {
        Some(warning) => format!("{text}\nwarning: {}", warning.en),
        None => text,
    }
}

fn found_as_text(mistakes: &[&Mistake]) -> String {
    let what: Vec<&str> = mistakes.iter().map(|mistake| mistake.what.en).collect();
    format!("Found: {}", what.join("; and "))
}

/// One line for each of `words`.
fn list(prefix: &str, words: impl IntoIterator<Item = Words>) -> String {
    let lines = words.into_iter().map(|words| format!("{prefix}{}", words.en));
    lines.collect::<Vec<_>>().join("\n")
}

fn as_text(claim: &Claim, verdict: &Verdict) -> String {
    let text = match verdict {
        Verdict::Right => format!(
            "The signature is right for {}\nIf WeChat still says \"invalid signature\":\n{}",
            claim.page(),
            list("- ", OTHER_CAUSES)
        ),
        Verdict::Explained { mistakes, signed } => format!(
            "{}\nsigned:     {}\nshould be:  {}\n{}",
            found_as_text(mistakes),
            signed.without_ticket(),
            claim.without_ticket(),
            list("what to do: ", explain::cures(mistakes))
        ),
        Verdict::Unexplained => format!(
            "Not found. Tried, alone and in pairs:\n{}\nRemaining causes:\n{}",
            list("- ", MISTAKES.iter().map(|mistake| mistake.what)),
            list("- ", REMAINING_CAUSES)
        ),
    };
    with_warning(text, claim.warning())
}

fn as_json(claim: &Claim, verdict: &Verdict) -> Value {
    let mut found = match verdict {
        Verdict::Right => json!({ "verdict": "right", "mistakes": [] }),
        Verdict::Explained { mistakes, signed } => json!({
            "verdict": "explained",
            "signed": signed.without_ticket(),
            "mistakes": mistakes_as_json(mistakes),
        }),
        Verdict::Unexplained => {
            let tried: Vec<_> = MISTAKES.iter().map(|mistake| mistake.name).collect();
            json!({ "verdict": "unexplained", "tried": tried, "mistakes": [] })
        }
    };
    found["expected"] = claim.without_ticket().into();
    if let Some(warning) = claim.warning() {
        found["warning"] = warning.en.into();
    }
    found
}

fn mistakes_as_json(mistakes: &[&Mistake]) -> Value {
    let mistake =
        |mistake: &&Mistake| json!({ "name": mistake.name, "what": mistake.what.en, "cure": mistake.cure.en });
    mistakes.iter().map(mistake).collect()
}
