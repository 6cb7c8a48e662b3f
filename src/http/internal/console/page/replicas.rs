//! Which replicas live.

use maud::{Markup, html};

use crate::http::internal::console::localizer::Localizer;
use crate::http::internal::console::text;
use crate::http::internal::console::view::View;
use crate::replicas::Replica;

pub(super) fn replicas(view: &View, loc: Localizer) -> Markup {
    html! {
        section #replicas.card aria-labelledby="replicas-title" {
            h2 #replicas-title { (loc.text(text::REPLICAS)) }
            @match &view.replicas {
                Some(replicas) => ul { @for replica in replicas { (row(replica, view, loc)) } },
                None => p.more { (loc.text(text::REPLICAS_UNREAD)) },
            }
        }
    }
}

fn row(replica: &Replica, view: &View, loc: Localizer) -> Markup {
    let age = view.now.duration_since(replica.since).unwrap_or_default();
    html! {
        li {
            span.name {
                code { (replica.name) }
                @if replica.name == view.replica { " " span.tag { (loc.text(text::REPLICA_OWN)) } }
            }
            p.more {
                "wxgate " (replica.version) " · "
                (loc.format(text::UPTIME, &[&loc.duration(age)])) " · " (loc.time(replica.since))
            }
        }
    }
}
