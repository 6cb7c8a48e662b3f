//! What the parts of a signature take, and the whole of it without a socket: `cargo bench --bench hot_path`.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(missing_docs, reason = "nobody depends on it")]

mod warm;

use std::hint::black_box;

use axum::http::HeaderMap;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use tower::Service;
use wxgate::http::{Envelope, RequestId};
use wxgate::jssdk::{JsDomain, Nonce, PageUrl, QueryParams, sign};

const TICKET: &str = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";
const NONCE: &str = "Wm3WZYTPz0wzccnW";
const TIMESTAMP: &str = "1414587457";

fn parts(c: &mut Criterion) {
    let url = QueryParams::parse(warm::QUERY).unwrap().url;
    let page = PageUrl::parse(&url).unwrap();
    let domain = JsDomain::try_from("example.com".to_owned()).unwrap();
    let id = RequestId::of(&HeaderMap::new());
    c.bench_function("decode the query", |b| {
        b.iter(|| QueryParams::parse(black_box(warm::QUERY)));
    });
    c.bench_function("check the URL", |b| b.iter(|| PageUrl::parse(black_box(&url))));
    c.bench_function("check the domain", |b| b.iter(|| domain.covers(black_box(&page))));
    c.bench_function("make a nonce", |b| b.iter(Nonce::random));
    c.bench_function("make a request id", |b| b.iter(|| RequestId::of(&HeaderMap::new())));
    c.bench_function("sign", |b| b.iter(|| sign(black_box(TICKET), NONCE, TIMESTAMP, &url)));
    c.bench_function("wrap the answer", |b| {
        b.iter(|| Envelope::ok([NONCE, TIMESTAMP, TICKET], id));
    });
}

fn whole(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut gateway = runtime.block_on(warm::gateway());
    c.bench_function("a whole request", |b| {
        b.iter_batched(
            warm::request,
            |request| gateway.call(request).now_or_never().unwrap(),
            criterion::BatchSize::SmallInput,
        );
    });
}

criterion_group!(hot_path, parts, whole);
criterion_main!(hot_path);
