//! `describe`: shows an object for people: what matters, in words, and long lists in one line for each element.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::{
    client::{
        admin::{AdminClient, AdminCommandOptions},
        kind::{ApiResourceKind, CATALOGUE, GATEWAY, SERVER, TOKEN},
        label_selector::LabelSelector,
        server_health, token_scope,
    },
    commands::{
        objects::{labels_of, show},
        selection::{self, ObjectSelector},
    },
    output::{OutputFormat, OutputWriter, cell, error::CliError, to_yaml},
};

/// Number of definitions that are listed with a line each; of more, only the names are.
const MAX_LISTED: usize = 20;
/// Number of lines that the names of a long list take.
const MAX_LINES: usize = 20;
/// Width in characters of these lines.
const LINE_WIDTH: usize = 118;

/// Shows all there is to know of an object.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate describe server git\n\
    \x20 toolgate describe gateway tools")]
pub struct DescribeArgs {
    /// Objects to describe.
    #[command(flatten)]
    pub pick: ObjectSelector,
    /// Only those with these labels, such as `team=ops`, `team!=ops` or `env in (a,b)`.
    #[arg(
        short = 'l',
        long = "selector",
        alias = "label",
        value_name = "SELECTOR"
    )]
    pub selectors: Vec<String>,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl DescribeArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let selections = self.pick.resolve_all()?;
        let labels = LabelSelector::parse_all(&self.selectors)?;
        let mut admin = self.admin.connect()?;
        let mut missing = Vec::new();
        let mut first = true;
        for selection in &selections {
            let kind = selection.kind;
            let found = selection::fetch(&mut admin, kind, &selection.names, &labels).await?;
            let single = selection.names.len() == 1;
            missing.extend(found.missing);
            if !matches!(out.format(), OutputFormat::Table | OutputFormat::Wide) {
                if !(single && found.objects.is_empty()) {
                    show(out, kind, found.objects, single)?;
                }
                continue;
            }
            for object in &found.objects {
                if !first {
                    out.line("")?;
                }
                first = false;
                let mut text = description(kind, object)?;
                if kind.name == SERVER.name {
                    text += &definitions_of(&mut admin, object).await?;
                }
                text.lines().try_for_each(|line| out.line(line))?;
            }
        }
        selection::missing_objects(missing)
    }
}

/// Describes an object: its kind and name, its metadata, and its members.
fn description(kind: &ApiResourceKind, object: &Value) -> Result<String, CliError> {
    let mut text = format!("{} {}\n", kind.name, kind.name_of(object));
    if !kind.desired {
        text += &members(object, &["name"])?;
        return Ok(text);
    }
    let metadata = &object["metadata"];
    let title = metadata["displayName"].as_str().unwrap_or_default();
    if !title.is_empty() {
        field(&mut text, "title", title);
    }
    let labels = labels_of(object);
    if labels != "-" {
        field(&mut text, "labels", &labels);
    }
    let now = crate::cli::now();
    let created = cell::age(metadata, "/createTime", now);
    let changed = cell::age(metadata, "/updateTime", now);
    let by_age = match created == changed {
        true => format!("{created} ago"),
        false => format!("{created} ago, changed {changed} ago"),
    };
    field(&mut text, "created", &by_age);
    let uid = cell::text(metadata, "/uid");
    if uid != "-" {
        field(&mut text, "uid", &uid);
    }
    field(
        &mut text,
        "version",
        &cell::text(metadata, "/resourceVersion"),
    );
    if kind.name == TOKEN.name {
        field(&mut text, "state", &token_scope::state(object, now));
        field(&mut text, "opens", &token_scope::opens(object));
        field(&mut text, "expires", &token_scope::expiry_cell(object));
    }
    text += "spec\n";
    text += &members(&object["spec"], &[])?;
    if object["status"].is_object() {
        text += "status\n";
        text += &members(&object["status"], &["tools", "prompts", "proxies"])?;
        if kind.name == SERVER.name {
            text += &endpoints_of(object, now);
            text += &seen_by_proxies(object, now);
        }
        if kind.name == GATEWAY.name {
            for list in ["tools", "prompts"] {
                text += &exposed(list, &object["status"][list]);
            }
        }
    }
    Ok(text)
}

fn field(text: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _infallible = writeln!(text, "  {name}: {value}");
}

/// Formats the members of a value as indented YAML, without those named.
fn members(value: &Value, without: &[&str]) -> Result<String, CliError> {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, value| !without.contains(&name.as_str()) && !value.is_null());
        if members.is_empty() {
            return Ok(String::new());
        }
    }
    match value.is_null() {
        true => Ok(String::new()),
        false => Ok(indented(&to_yaml(&value)?)),
    }
}

/// Lists the proxies for which a server fails or has failed lately.
fn seen_by_proxies(server: &Value, now: u64) -> String {
    let seen = server_health::observations(server);
    if seen.is_empty() {
        return String::new();
    }
    let lines = seen.into_iter().map(|it| {
        let described = server_health::describe(&it, now);
        (it.proxy, described)
    });
    listing("proxies", lines.collect())
}

/// Lists the endpoints of a server that has several, each with its state as the proxies see it.
fn endpoints_of(server: &Value, now: u64) -> String {
    let endpoints = server_health::endpoints(server);
    if endpoints.is_empty() {
        return String::new();
    }
    let lines = endpoints.into_iter().map(|it| {
        let state = it.describe(now);
        (it.label, state)
    });
    listing("endpoints", lines.collect())
}

/// Lists the tools or prompts that a gateway exposes: their names, with the server's own name if it differs.
fn exposed(list: &str, definitions: &Value) -> String {
    let definitions = definitions.as_array().map_or(&[][..], Vec::as_slice);
    let lines = definitions.iter().map(|definition| {
        let (name, original) = (&definition["name"], &definition["originalName"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, original, server) = (text(name), text(original), text(&definition["server"]));
        let is_usual = name == format!("{server}__{original}");
        let origin = match is_usual || name == original {
            true => String::new(),
            false => format!("{original} of {server}"),
        };
        (name, origin)
    });
    listing(list, lines.collect())
}

/// Describes the definitions that the last probe of a server found.
async fn definitions_of(admin: &mut AdminClient, server: &Value) -> Result<String, CliError> {
    let id = cell::id(server, "/metadata/name");
    let organization = server["metadata"]["name"].as_str().unwrap_or_default();
    let organization = organization.split('/').nth(1).unwrap_or_default();
    let name = CATALOGUE.resource_name(organization, &id);
    let Some(catalogue) = admin.find(&CATALOGUE, &name).await? else {
        return Ok("catalogue: not probed yet\n".to_owned());
    };
    let lists = ["tools", "prompts", "resources", "templates"];
    let mut text = "catalogue\n".to_owned();
    // The status of the server shows the results of the probe.
    let of_status = ["probeTime", "problem", "problemSinceTime", "omissions"];
    text += &members(
        &catalogue,
        &[&lists[..], &of_status, &["name", "capabilitiesJson"]].concat(),
    )?;
    for list in lists {
        let definitions = catalogue[list].as_array().map_or(&[][..], Vec::as_slice);
        if definitions.is_empty() && list != "tools" {
            continue;
        }
        let lines = definitions.iter().map(|definition| {
            let description = definition["description"].as_str().unwrap_or_default();
            let name = definition["name"].as_str().unwrap_or_default();
            (name.to_owned(), cell::summary_line(description))
        });
        text += &listing(list, lines.collect());
    }
    Ok(text)
}

/// Formats a list of names with remarks. A long list is shortened to its names, several in a line.
fn listing(heading: &str, lines: Vec<(String, String)>) -> String {
    let mut text = format!("  {heading}: {}\n", lines.len());
    if lines.len() <= MAX_LISTED {
        for (name, remark) in &lines {
            let line = format!("    {name}  {remark}");
            text += line.trim_end();
            text.push('\n');
        }
        return text;
    }
    let mut line = String::from("   ");
    for (index, (name, _)) in lines.iter().enumerate() {
        if line.chars().count() + name.chars().count() >= LINE_WIDTH {
            text += &line;
            text.push('\n');
            "   ".clone_into(&mut line);
            if text.lines().count() > MAX_LINES {
                text += &format!(
                    "    … and {} more, which `-o yaml` shows\n",
                    lines.len() - index
                );
                return text;
            }
        }
        line.push(' ');
        line += name;
    }
    text + &line + "\n"
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests;
