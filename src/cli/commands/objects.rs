//! `get` for objects of any kind.

pub mod presentation;

use serde_json::Value;

use crate::cli::{
    client::{admin::AdminCommandOptions, kind::ApiResourceKind, label_selector::LabelSelector},
    commands::{
        selection::{self, ObjectSelector},
        watch::{self, WatchedObjects},
    },
    output::{OutputFormat, OutputWriter, error::CliError},
};

use presentation::{TableOptions, table_of};
pub use presentation::{labels_of, to_document};

/// Lists objects, or shows one in a line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 toolgate get gateways\n\
    \x20 toolgate get server git -o yaml\n\
    \x20 toolgate get all\n\
    \x20 toolgate get servers,gateways --show-labels\n\
    \x20 toolgate get servers -l 'owner in (search, mail)' -o wide\n\
    \x20 toolgate get servers -o jsonpath='{.items[*].spec.url}'\n\
    \x20 toolgate get gateways --watch")]
pub struct GetObjectsArgs {
    /// Objects to list.
    #[command(flatten)]
    pub pick: ObjectSelector,
    /// Only those with these labels, such as `team=ops`, `team!=ops`, `env in (a,b)`, `team` or `!team`.
    #[arg(
        short = 'l',
        long = "selector",
        alias = "label",
        value_name = "SELECTOR"
    )]
    pub selectors: Vec<String>,
    /// Show the labels in a column.
    #[arg(long)]
    pub show_labels: bool,
    /// Stay and show every change as it happens.
    #[arg(short, long)]
    pub watch: bool,
    /// Show only changes from now on.
    #[arg(long)]
    pub watch_only: bool,
    /// Connection to the admin API.
    #[command(flatten)]
    pub admin: AdminCommandOptions,
}

impl GetObjectsArgs {
    /// Runs the command.
    pub async fn run(self, out: &mut OutputWriter) -> Result<(), CliError> {
        let selections = self.pick.resolve_all()?;
        let labels = LabelSelector::parse_all(&self.selectors)?;
        let mut admin = self.admin.connect()?;
        if self.watch || self.watch_only {
            let request = WatchedObjects {
                selections,
                labels,
                show_labels: self.show_labels,
                only_changes: self.watch_only,
            };
            return watch::run(admin, request, out).await;
        }
        let options = TableOptions {
            show_labels: self.show_labels,
            with_kind: selections.len() > 1,
        };
        let single = matches!(selections.as_slice(), [only] if only.names.len() == 1);
        let (mut groups, mut missing) = (Vec::new(), Vec::new());
        for selection in &selections {
            let found =
                selection::fetch(&mut admin, selection.kind, &selection.names, &labels).await?;
            missing.extend(found.missing);
            groups.push((selection.kind, found.objects));
        }
        let is_empty = groups.iter().all(|(_, objects)| objects.is_empty());
        if is_empty && missing.is_empty() {
            let kinds: Vec<_> = selections.iter().map(|it| it.kind.plural).collect();
            out.notice(format_args!("no {} found", kinds.join(", ")));
        }
        // A missing object leaves standard output to the others.
        if !(is_empty && single) {
            show_groups(out, groups, single, &options)?;
        }
        selection::missing_objects(missing)
    }
}

/// Writes objects of one kind in the requested format.
pub fn show(
    out: &mut OutputWriter,
    kind: &'static ApiResourceKind,
    objects: Vec<Value>,
    single: bool,
) -> Result<(), CliError> {
    show_groups(out, vec![(kind, objects)], single, &TableOptions::default())
}

/// Writes objects, grouped by kind, in the requested format.
fn show_groups(
    out: &mut OutputWriter,
    groups: Vec<(&'static ApiResourceKind, Vec<Value>)>,
    single: bool,
    options: &TableOptions,
) -> Result<(), CliError> {
    let count: usize = groups.iter().map(|(_, objects)| objects.len()).sum();
    match out.format() {
        OutputFormat::Json => {
            let mut objects: Vec<_> = groups.into_iter().flat_map(|(_, it)| it).collect();
            match single {
                true => out.json(&objects.pop().unwrap_or_default()),
                false => out.json(&Value::Array(objects)),
            }
        }
        OutputFormat::Yaml => {
            for (kind, objects) in &groups {
                for object in objects {
                    if count > 1 {
                        out.line("---")?;
                    }
                    out.yaml(&to_document(kind, object))?;
                }
            }
            Ok(())
        }
        OutputFormat::Name => groups.iter().try_for_each(|(kind, objects)| {
            objects
                .iter()
                .try_for_each(|object| out.line(kind.name_of(object)))
        }),
        OutputFormat::Table | OutputFormat::Wide => {
            let groups = groups.iter().filter(|(_, objects)| !objects.is_empty());
            for (index, (kind, objects)) in groups.enumerate() {
                if index > 0 {
                    out.line("")?;
                }
                let wide = out.format() == OutputFormat::Wide;
                let (headings, rows) = table_of(kind, objects, wide, options);
                out.table(&headings, rows)?;
            }
            Ok(())
        }
    }
}
