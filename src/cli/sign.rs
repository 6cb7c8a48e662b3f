//! `wxgate sign`: a signature, and the string that is signed.

use std::time::UNIX_EPOCH;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::jssdk::{random_nonce, sign, string1};

#[derive(Args)]
pub(super) struct SignArgs {
    /// The jsapi_ticket
    #[arg(long, allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    ticket: String,
    /// The page's URL, signed exactly as given: pass a page's own without its `#` fragment
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    url: String,
    /// The noncestr; a random one if left out
    #[arg(long, allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    nonce: Option<String>,
    /// The timestamp in seconds; now if left out
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    timestamp: Option<String>,
}

pub(super) fn run(args: SignArgs) -> String {
    let nonce = args.nonce.unwrap_or_else(random_nonce);
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let timestamp = args.timestamp.unwrap_or_else(|| now.to_string());
    let string1 = string1(&args.ticket, &nonce, &timestamp, &args.url);
    let signature = sign(&args.ticket, &nonce, &timestamp, &args.url);
    format!("string1:   {string1}\nnoncestr:  {nonce}\ntimestamp: {timestamp}\nsignature: {signature}")
}
