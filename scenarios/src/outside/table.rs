use super::{Fact, NOT_VISIBLE, SCENARIOS, Scenario};
use std::{collections::BTreeMap, fmt::Write};

/// What one server did.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    facts: BTreeMap<&'static str, Vec<Fact>>,
}

impl Column {
    /// Of the server with this name, which did nothing yet.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), facts: BTreeMap::new() }
    }

    /// Adds what it did in a scenario.
    pub fn add(&mut self, scenario: &Scenario, facts: Vec<Fact>) {
        self.facts.insert(scenario.number, facts);
    }

    fn fact(&self, scenario: &Scenario, label: &str) -> Option<&str> {
        let facts = self.facts.get(scenario.number)?;
        facts.iter().find(|fact| fact.label == label).map(|fact| fact.what.as_str())
    }
}

/// What several servers did, side by side.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
}

impl Table {
    /// Of these.
    #[must_use]
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }

    /// The scenarios that were driven, each with what was looked at.
    fn rows(&self) -> impl Iterator<Item = (&'static Scenario, Vec<&str>)> {
        SCENARIOS.iter().filter_map(|scenario| {
            let mut labels: Vec<&str> = Vec::new();
            let facts = self.columns.iter().filter_map(|column| column.facts.get(scenario.number));
            for fact in facts.flatten() {
                if !labels.contains(&fact.label.as_str()) {
                    labels.push(&fact.label);
                }
            }
            // What all servers have comes last, also where one could not go on.
            labels.sort_by_key(|label| label.starts_with("afterwards"));
            (!labels.is_empty()).then_some((scenario, labels))
        })
    }

    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let width = self.columns.iter().map(|column| column.name.len()).max().unwrap_or_default();
        let mut text = String::new();
        for (scenario, labels) in self.rows() {
            let _ = writeln!(text, "{}  {}\n      {}", scenario.number, scenario.title, scenario.done);
            for label in labels {
                let _ = writeln!(text, "   {label}");
                for column in &self.columns {
                    let what = column.fact(scenario, label).unwrap_or("-");
                    let _ = writeln!(text, "      {:width$}  {what}", column.name);
                }
            }
            text.push('\n');
        }
        text
    }

    /// As Markdown: a section for each scenario.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (scenario, labels) in self.rows() {
            let _ = writeln!(text, "### {}: {}\n\n{}\n", scenario.number, scenario.title, scenario.done);
            let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
            let _ = writeln!(text, "| | {} |", names.join(" | "));
            let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
            for label in labels {
                let cells: Vec<_> =
                    self.columns.iter().map(|column| column.fact(scenario, label).unwrap_or("-")).collect();
                let _ = writeln!(text, "| {label} | {} |", cells.join(" | "));
            }
            text.push('\n');
        }
        text
    }

    /// The scenarios that are not driven from outside, as text.
    #[must_use]
    pub fn not_driven() -> String {
        let line = |(number, title, why): &(&str, &str, &str)| format!("{number}  {title}: {why}\n");
        NOT_VISIBLE.iter().map(line).collect()
    }

    /// The same as Markdown.
    #[must_use]
    pub fn not_driven_markdown() -> String {
        let line = |(number, title, why): &(&str, &str, &str)| format!("* {number}, {title}: {why}.\n");
        NOT_VISIBLE.iter().map(line).collect()
    }
}
