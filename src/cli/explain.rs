//! `wxgate explain`: why WeChat says `invalid signature`.

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigArgs, Failure, block_on, print};
use crate::account::AppId;
use crate::check::desk::Desk;
use crate::jssdk::explain::{self, Claim, MISTAKES, Mistake, OTHER_CAUSES, REMAINING_CAUSES, Tickets, Verdict, Words};
use crate::secret::Secret;
use crate::settings::{Account, Settings};

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The page's whole URL, as the address bar has it
    #[arg(long)]
    url: String,
    /// The nonceStr that the page passed to wx.config
    #[arg(long)]
    nonce: String,
    /// The timestamp that the page passed to wx.config
    #[arg(long)]
    timestamp: String,
    /// The signature that the page passed to wx.config
    #[arg(long)]
    signature: String,
    /// The `jsapi_ticket`; given more than once, the first is the right one and the others are tried too
    #[arg(long = "ticket", value_name = "TICKET")]
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

pub(super) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let claim = Claim::new(&args.url, &args.nonce, &args.timestamp, &args.signature);
    let claim = claim.map_err(|problem| Failure::Settings(problem.words().en.to_owned()))?;
    let mut given = args.tickets.iter().map(Secret::new);
    let tickets = match given.next() {
        Some(current) => Tickets {
            current,
            others: given.collect(),
            tokens: Vec::new(),
        },
        None => tickets_of_the_gateway(args)?,
    };
    let verdict = explain::explain(&claim, &tickets);
    if args.json {
        print(&as_json(&claim, &verdict).to_string())?;
    } else {
        print(&as_text(&claim, &verdict))?;
    }
    match verdict {
        Verdict::Right | Verdict::Explained { .. } => Ok(()),
        Verdict::Unexplained => Err(Failure::Running("nothing known gives this signature".to_owned())),
    }
}

/// What the gateway's cluster signs with, and what may have been taken for it.
fn tickets_of_the_gateway(args: &ExplainArgs) -> Result<Tickets, Failure> {
    let settings = args.config.load().map_err(|failure| {
        Failure::Settings(format!(
            "give --ticket, or the gateway's settings, which are not usable:\n{failure}"
        ))
    })?;
    let account = chosen(&settings, args.app_id.as_deref())?;
    let desk = Desk::open(&settings).map_err(|finding| Failure::Settings(finding.message))?;
    block_on(async {
        let no_ticket = |error| Failure::Running(format!("there is no ticket to compare with: {error}"));
        let mut tickets = Tickets {
            current: desk.ticket(account).await.map_err(no_ticket)?,
            ..Tickets::default()
        };
        for other in &settings.accounts {
            tickets.tokens.extend(desk.shared_token(&other.app_id).await);
            if other.app_id != account.app_id {
                tickets.others.extend(desk.ticket(other).await.ok());
            }
        }
        Ok(tickets)
    })
}

fn chosen<'a>(settings: &'a Settings, app_id: Option<&str>) -> Result<&'a Account, Failure> {
    let mut accounts = settings.accounts.iter();
    let found = match app_id {
        None => accounts.next(),
        Some(app_id) => accounts.find(|account| account.app_id.as_str() == app_id),
    };
    let known = || settings.accounts.iter().map(|account| &account.app_id);
    found.ok_or_else(|| {
        let known: Vec<&str> = known().map(AppId::as_str).collect();
        Failure::Settings(format!("--app-id: the settings have {}", known.join(", ")))
    })
}

fn as_text(claim: &Claim, verdict: &Verdict) -> String {
    let list = |words: &[Words]| {
        let lines: Vec<String> = words.iter().map(|words| format!("- {}", words.en)).collect();
        lines.join("\n")
    };
    match verdict {
        Verdict::Right => format!(
            "The signature is right for {}\nWhere WeChat still says \"invalid signature\":\n{}",
            claim.page(),
            list(&OTHER_CAUSES)
        ),
        Verdict::Explained { mistakes, signed } => {
            let what: Vec<&str> = mistakes.iter().map(|mistake| mistake.what.en).collect();
            let mut cures: Vec<&str> = mistakes.iter().map(|mistake| mistake.cure.en).collect();
            cures.dedup();
            let cures: Vec<String> = cures.iter().map(|cure| format!("what to do: {cure}")).collect();
            format!(
                "Found: {}\nsigned:     {}\nshould be:  {}\n{}",
                what.join("; and "),
                signed.without_ticket(),
                claim.without_ticket(),
                cures.join("\n")
            )
        }
        Verdict::Unexplained => {
            let tried: Vec<Words> = MISTAKES.iter().map(|mistake| mistake.what).collect();
            format!(
                "Not found. Tried, alone and in pairs:\n{}\nWhat remains:\n{}",
                list(&tried),
                list(&REMAINING_CAUSES)
            )
        }
    }
}

fn as_json(claim: &Claim, verdict: &Verdict) -> Value {
    let mistake =
        |mistake: &&Mistake| json!({ "name": mistake.name, "what": mistake.what.en, "cure": mistake.cure.en });
    let expected = claim.without_ticket();
    match verdict {
        Verdict::Right => json!({ "verdict": "right", "mistakes": [], "expected": expected }),
        Verdict::Explained { mistakes, signed } => json!({
            "verdict": "explained",
            "mistakes": mistakes.iter().map(mistake).collect::<Vec<_>>(),
            "signed": signed.without_ticket(),
            "expected": expected,
        }),
        Verdict::Unexplained => json!({
            "verdict": "unexplained",
            "mistakes": [],
            "tried": MISTAKES.iter().map(|mistake| mistake.name).collect::<Vec<_>>(),
            "expected": expected,
        }),
    }
}
