//! The figures, as a table for people and as JSON for programs.

use serde_json::{Value, json};

use crate::wrk::Seen;

/// A server's results over its turns.
#[derive(Default)]
pub struct Turns {
    /// wrk's results.
    pub seen: Vec<Seen>,
    /// Processor time, in microseconds per request.
    pub cpu: Vec<f64>,
    /// The most memory that it took, in MiB.
    pub memory: f64,
}

impl Turns {
    /// Requests per second, turn by turn.
    pub fn rates(&self) -> Vec<f64> {
        self.seen.iter().map(|seen| seen.rate).collect()
    }
}

/// What has been measured.
#[derive(Default)]
pub struct Report {
    rows: Vec<Value>,
    figures: Vec<Value>,
    /// The rates of the first server of the case under way, round by round.
    reference: (String, Vec<f64>, f64),
}

impl Report {
    /// A server's turns in `case`; the first server of a case is what the others are compared with.
    pub fn row(&mut self, case: &str, server: &str, turns: &Turns) {
        let (rates, cpu) = (turns.rates(), median(&turns.cpu));
        let times = |time: fn(&Seen) -> f64| median(&turns.seen.iter().map(time).collect::<Vec<_>>());
        if self.reference.0 != case {
            self.reference = (case.to_owned(), rates.clone(), cpu);
        }
        let ratios: Vec<f64> = rates
            .iter()
            .zip(&self.reference.1)
            .map(|(ours, bare)| ours / bare)
            .collect();
        self.rows.push(json!({
            "case": case,
            "server": server,
            "requests_per_second": median(&rates),
            "ratio": median(&ratios),
            "ratios": ratios,
            "p50_ms": times(|seen| seen.p50),
            "p99_ms": times(|seen| seen.p99),
            "cpu_us_per_request": cpu,
            "cpu_ratio": cpu / self.reference.2,
            "memory_mib": turns.memory,
        }));
    }

    /// A single figure.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str) {
        self.figures.push(json!({ "name": name, "value": value, "unit": unit }));
    }

    /// Prints the table, and writes `target/load.json`.
    pub fn print_and_save(&self) {
        if !self.rows.is_empty() {
            println!(
                "| case | server | requests/s | ratio | p50 ms | p99 ms | CPU µs/request | CPU ratio | memory MiB |"
            );
            println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        }
        for row in &self.rows {
            let number = |name: &str| row[name].as_f64().unwrap();
            println!(
                "| {} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} | {:.2} | {:.1} |",
                row["case"].as_str().unwrap(),
                row["server"].as_str().unwrap(),
                number("requests_per_second"),
                number("ratio"),
                number("p50_ms"),
                number("p99_ms"),
                number("cpu_us_per_request"),
                number("cpu_ratio"),
                number("memory_mib"),
            );
        }
        println!();
        for figure in &self.figures {
            let (name, unit) = (figure["name"].as_str().unwrap(), figure["unit"].as_str().unwrap());
            println!("- {name}: {:.2} {unit}", figure["value"].as_f64().unwrap());
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/load.json");
        let text = serde_json::to_string_pretty(&json!({ "rows": self.rows, "figures": self.figures }));
        std::fs::write(path, text.unwrap()).unwrap();
        println!("\nWritten to {path}");
    }
}

/// The middle one of `values`, or half-way between the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}
