//! Request errors, without their URLs; what is wrong with a rejected certificate, and what to do about it.

use std::error::Error;
use std::io;

/// How a request or the body of its answer failed. No text contains a URL.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection could be made; the request was not sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke before the answer began, or the request is not sendable.
    #[error("{0}")]
    Broken(String),
    /// The answer's body ended early.
    #[error("its answer was cut off")]
    CutOff,
    /// The answer, or a chunk of its body, did not come in time.
    #[error("no answer in time")]
    TimedOut,
}

impl HttpError {
    pub(super) fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            Self::Connect(cause(&error))
        } else {
            Self::Broken(cause(&error))
        }
    }
}

/// The root cause of an error, which contains no URL. A rejected certificate is explained.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    match certificate_problem(error) {
        Some((wrong, cure)) => format!("{wrong}; {cure}"),
        None => chain(error).last().unwrap_or(error).to_string(),
    }
}

/// What may be wrong with a certificate.
struct CertificateProblem {
    /// Parts of rustls' text, each of which identifies this problem.
    marks: &'static [&'static str],
    wrong: &'static str,
    /// What an operator can do.
    cure: &'static str,
}

const PROBLEMS: [CertificateProblem; 8] = [
    CertificateProblem {
        // With the last two, an authority of the same name is known, but has another key.
        marks: &[
            "UnknownIssuer",
            "BadSignature",
            "UnsupportedSignatureAlgorithmForPublicKey",
        ],
        wrong: "the server's certificate is not trusted: its CA is not among the system's",
        cure: "put that CA's certificate into http_client.ca_file",
    },
    CertificateProblem {
        marks: &["certificate expired"],
        wrong: "the server's certificate has expired",
        cure: "renew it on that server; is this machine's clock right?",
    },
    CertificateProblem {
        marks: &["certificate not valid yet"],
        wrong: "the server's certificate is not valid yet",
        cure: "is this machine's clock right?",
    },
    CertificateProblem {
        marks: &["certificate not valid for name"],
        wrong: "the server's certificate is for another name",
        cure: "use a name in the settings that the certificate is for, or issue one for this name",
    },
    CertificateProblem {
        marks: &["CaUsedAsEndEntity"],
        wrong: "the server's certificate is not trusted: it is a CA's own, as self-signed ones are",
        cure: "install one that was issued for the server's name, and put its CA's certificate into http_client.ca_file",
    },
    CertificateProblem {
        marks: &["EkuError"],
        wrong: "the server's certificate is not meant for servers",
        cure: "issue one for that server (extended key usage: server authentication)",
    },
    CertificateProblem {
        marks: &["UnsupportedCertVersion"],
        wrong: "the server's certificate uses an old version of X.509",
        cure: "issue one of version 3 for that server, with its name as a subject alternative name",
    },
    // The last entry matches all others.
    CertificateProblem {
        marks: &[""],
        wrong: "the server's certificate is not accepted",
        cure: "issue a certificate for that server that other programs accept",
    },
];

/// What is wrong with the certificate that `error` is about, if any, and what to do.
///
/// It is recognised by rustls' text, because some libraries keep nothing else of an error.
pub fn certificate_problem(error: &(dyn Error + 'static)) -> Option<(String, &'static str)> {
    let mut texts = chain(error).map(ToString::to_string);
    let detail = texts.find_map(|text| Some(text.split_once("invalid peer certificate: ")?.1.to_owned()))?;
    let is_about = |problem: &&CertificateProblem| problem.marks.iter().any(|mark| detail.contains(mark));
    let CertificateProblem { marks, wrong, cure } = PROBLEMS.iter().find(is_about)?;
    let detail = if *marks == [""] {
        format!(" ({detail})")
    } else {
        String::new()
    };
    Some((format!("{wrong}{detail}"), cure))
}

/// What to do about a failure whose text came from [`certificate_problem`]: the errors of other modules keep only the text.
pub fn certificate_cure(text: &str) -> Option<&'static str> {
    let problem = PROBLEMS.iter().find(|problem| text.contains(problem.wrong))?;
    Some(problem.cure)
}

/// `error`, its cause, the cause of that, and so on.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // `source()` of an io::Error skips the error that it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let wrapped = wrapped.map(|inner| inner as &(dyn Error + 'static));
        wrapped.or_else(|| error.source())
    })
}
