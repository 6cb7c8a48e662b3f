//! GitHub's workflows and forms: well-formed, with minimal permissions, and running the project's own scripts.

use std::path::Path;

use serde_json::Value;

use super::markdown::{project, read};

/// A folder's YAML files, each with its name and text.
fn yaml_files(folder: &str) -> Vec<(String, String, Value)> {
    let entries = std::fs::read_dir(project(folder)).unwrap();
    let paths = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yml"));
    paths
        .map(|path| {
            let path = path.to_str().unwrap().to_owned();
            let text = read(&path);
            let value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            (path, text, value)
        })
        .collect()
}

#[test]
fn workflows_have_few_rights_and_pinned_actions() {
    let workflows = yaml_files(".github/workflows");
    assert!(workflows.len() >= 2, "{workflows:?}");
    for (path, text, workflow) in &workflows {
        assert_eq!(workflow["permissions"], serde_json::json!({}), "{path}");
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            assert!(
                job["permissions"].is_object(),
                "{path}: {name} does not say what it may do"
            );
        }
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            let action = line.split("uses: ").nth(1).unwrap();
            let pinned = action.split_once('@').is_some_and(|(_, version)| {
                let (hash, comment) = version.split_once(" # v").unwrap_or_default();
                hash.len() == 40 && hash.chars().all(|c| c.is_ascii_hexdigit()) && !comment.is_empty()
            });
            assert!(action.starts_with("./") || pinned, "{path}: {action}");
        }
    }
}

#[test]
fn ci_runs_every_step_of_the_test_script() {
    let (ci, script) = (read(".github/workflows/ci.yml"), read("scripts/test"));
    let steps = script
        .lines()
        .map(str::trim)
        .find_map(|line| line.strip_prefix("\"\" | "));
    let steps = steps.unwrap().split(')').next().unwrap();
    let mut run: Vec<&str> = ci.split("scripts/test --only ").skip(1).collect();
    run = run.iter().map(|rest| rest.split_whitespace().next().unwrap()).collect();
    for step in steps.split(" | ") {
        assert!(run.contains(&step), "no job runs {step}");
    }
}

#[test]
fn dependabot_and_forms_are_well_formed() {
    let [(_, _, dependabot)] = &yaml_files(".github")[..] else {
        panic!(".github has one file of its own")
    };
    for update in dependabot["updates"].as_array().unwrap() {
        let one = update["directory"].as_str().into_iter();
        let many = update["directories"].as_array().into_iter().flatten();
        let folders: Vec<&str> = one.chain(many.filter_map(Value::as_str)).collect();
        assert!(!folders.is_empty(), "{update}");
        for folder in folders {
            assert!(project(folder.trim_start_matches('/')).is_dir(), "{folder}");
        }
    }
    let forms = yaml_files(".github/ISSUE_TEMPLATE");
    for (path, _, form) in forms.iter().filter(|(path, ..)| !path.ends_with("config.yml")) {
        assert!(form["name"].is_string() && form["description"].is_string(), "{path}");
        assert!(form["body"].as_array().is_some_and(|body| !body.is_empty()), "{path}");
    }
}
