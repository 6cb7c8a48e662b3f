//! Runs the fuzz targets' properties on their seeds and small changes of them, without a fuzzer.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

#[path = "../../fuzz/src/lib.rs"]
mod properties;

type Property = fn(&[u8]);

const PROPERTIES: [(&str, Property); 10] = [
    ("page_url", properties::page_url),
    ("js_domain", properties::js_domain),
    ("api_path", properties::api_path),
    ("client_address", properties::client_address),
    ("request_id", properties::request_id),
    ("upload_body", properties::upload_body),
    ("wechat_answer", properties::wechat_answer),
    ("picture", properties::picture),
    ("settings", properties::settings),
    ("settings_file", properties::settings_file),
];

/// Every property with each of its seeds.
fn seeds() -> Vec<(Property, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let files = |(name, property): (&str, Property)| {
        let files: Vec<_> = folder.join(name).read_dir().unwrap().collect();
        assert!(!files.is_empty(), "{name} has no seed");
        let read =
            move |file: std::io::Result<std::fs::DirEntry>| (property, std::fs::read(file.unwrap().path()).unwrap());
        files.into_iter().map(read)
    };
    PROPERTIES.into_iter().flat_map(files).collect()
}

/// A seed with bytes changed, added and removed.
fn mutated(seed: &[u8], changes: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut data = seed.to_vec();
    for (place, how, byte) in changes {
        let place = place.index(data.len() + 1);
        match how % 4 {
            0 => data.insert(place, *byte),
            1 if place < data.len() => data[place] = *byte,
            2 if place < data.len() => drop(data.remove(place)),
            _ => data.truncate(place.max(1)),
        }
    }
    data
}

proptest! {
    #[test]
    fn fuzz_properties_hold_near_their_seeds(
        (property, seed) in prop::sample::select(seeds()),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), any::<u8>()), 0..6),
    ) {
        property(&mutated(&seed, &changes));
    }
}

#[test]
fn fuzz_targets_are_the_properties() {
    let manifest: toml::Table = include_str!("../../fuzz/Cargo.toml").parse().unwrap();
    let targets = manifest["bin"].as_array().unwrap().iter();
    let targets: BTreeSet<_> = targets.map(|target| target["name"].as_str().unwrap()).collect();
    assert_eq!(targets, PROPERTIES.iter().map(|(name, _)| *name).collect());
}
