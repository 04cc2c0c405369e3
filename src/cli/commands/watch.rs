//! Watch of objects: shows them, and then every change as it happens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::{
    client::{
        admin::{
            AdminClient,
            changes::{ObjectChange, ObjectChanges},
        },
        kind::ApiResourceKind,
        label_selector::LabelSelector,
    },
    commands::{
        objects::presentation::{TableOptions, table_of, to_document},
        selection::KindSelection,
    },
    output::{
        OutputFormat, OutputWriter,
        error::{CliError, CliErrorKind},
    },
};

/// Objects to watch, and the way to show them.
#[derive(Debug)]
pub struct WatchedObjects {
    /// Kinds and names; without names, all objects of the kind.
    pub selections: Vec<KindSelection>,
    /// Labels of the objects.
    pub labels: LabelSelector,
    /// Adds a column with the labels.
    pub show_labels: bool,
    /// Leaves out the objects that exist at the beginning.
    pub only_changes: bool,
}

/// Shows the objects and their changes until the process is stopped.
pub async fn run(
    admin: AdminClient,
    watched: WatchedObjects,
    out: &mut OutputWriter,
) -> Result<(), CliError> {
    let kinds: Vec<_> = watched.selections.iter().map(|it| it.kind).collect();
    let mut screen = WatchScreen {
        organization: admin.organization().to_owned(),
        watched,
        shown: BTreeMap::new(),
        widths: Vec::new(),
        synced: false,
    };
    loop {
        let mut changes = admin.changes(&kinds).await?;
        match follow(&mut screen, &mut changes, out).await {
            // A control plane that ends closes its streams; another one may answer.
            Ok(()) if out.is_closed() => return Ok(()),
            Ok(()) => {}
            Err(fault) if fault.kind == CliErrorKind::Unavailable && screen.synced => {
                out.notice(format_args!("the watch broke off: {}", fault.message));
            }
            Err(fault) => return Err(fault),
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

async fn follow(
    screen: &mut WatchScreen,
    changes: &mut ObjectChanges,
    out: &mut OutputWriter,
) -> Result<(), CliError> {
    while let Some(change) = changes.next().await? {
        match change {
            ObjectChange::Put(kind, object) => screen.put(kind, object, out)?,
            ObjectChange::Deleted(kind, object) => screen.deleted(kind, object, out)?,
            ObjectChange::Synced => screen.synced(out)?,
        }
        if out.is_closed() {
            return Ok(());
        }
    }
    Ok(())
}

/// Objects that were shown, by name.
struct WatchScreen {
    organization: String,
    watched: WatchedObjects,
    shown: BTreeMap<String, (&'static ApiResourceKind, Value)>,
    /// Widths of the columns.
    widths: Vec<usize>,
    synced: bool,
}

impl WatchScreen {
    fn selects(&self, kind: &ApiResourceKind, object: &Value) -> bool {
        let name = kind.name_of(object);
        let mut selections = self.watched.selections.iter();
        selections.any(|selection| {
            let is_named = |it: &String| kind.resource_name(&self.organization, it) == name;
            selection.kind.name == kind.name
                && (selection.names.is_empty() || selection.names.iter().any(is_named))
        })
    }

    fn put(
        &mut self,
        kind: &'static ApiResourceKind,
        object: Value,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let name = kind.name_of(&object).to_owned();
        if !self.selects(kind, &object) || !self.watched.labels.selects(&object) {
            // A change of labels can end the selection.
            return match self.shown.remove(&name) {
                Some((kind, last)) if self.synced => self.show("DELETED", kind, &last, out),
                Some(_) | None => Ok(()),
            };
        }
        let before = self.shown.insert(name, (kind, object.clone()));
        match before {
            _ if !self.synced => Ok(()),
            Some((_, before)) if before == object => Ok(()),
            Some(_) => self.show("MODIFIED", kind, &object, out),
            None => self.show("ADDED", kind, &object, out),
        }
    }

    fn deleted(
        &mut self,
        kind: &'static ApiResourceKind,
        object: Value,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        match self.shown.remove(kind.name_of(&object)) {
            Some((kind, last)) => self.show("DELETED", kind, &last, out),
            None => Ok(()),
        }
    }

    /// Shows the objects that exist at the beginning.
    fn synced(&mut self, out: &mut OutputWriter) -> Result<(), CliError> {
        if self.synced {
            return Ok(());
        }
        self.synced = true;
        let objects: Vec<_> = self.shown.values().cloned().collect();
        if matches!(out.format(), OutputFormat::Table | OutputFormat::Wide) {
            self.measure(&objects, out.format() == OutputFormat::Wide);
            if let [only] = self.watched.selections.as_slice() {
                let kind = only.kind;
                let (headings, _) = table_of(kind, &[], self.is_wide(out), &self.options());
                let headings = headings.into_iter().map(str::to_owned).collect();
                out.heading(self.row("EVENT", headings))?;
            }
        }
        if self.watched.only_changes {
            return Ok(());
        }
        objects
            .iter()
            .try_for_each(|(kind, object)| self.show("ADDED", kind, object, out))
    }

    fn is_wide(&self, out: &OutputWriter) -> bool {
        out.format() == OutputFormat::Wide
    }

    fn options(&self) -> TableOptions {
        TableOptions {
            show_labels: self.watched.show_labels,
            with_kind: self.watched.selections.len() > 1,
        }
    }

    /// Widens the columns to the objects that exist at the beginning.
    fn measure(&mut self, objects: &[(&'static ApiResourceKind, Value)], wide: bool) {
        for selection in &self.watched.selections {
            let of_kind = objects
                .iter()
                .filter(|(kind, _)| kind.name == selection.kind.name);
            let of_kind: Vec<_> = of_kind.map(|(_, object)| object.clone()).collect();
            let (headings, rows) = table_of(selection.kind, &of_kind, wide, &self.options());
            let headings = headings.into_iter().map(str::to_owned).collect();
            for row in rows.into_iter().chain([headings]) {
                for (index, cell) in row.iter().enumerate() {
                    let width = cell.chars().count();
                    match self.widths.get_mut(index) {
                        Some(widest) => *widest = (*widest).max(width),
                        None => self.widths.push(width),
                    }
                }
            }
        }
    }

    fn row(&self, event: &str, cells: Vec<String>) -> String {
        let mut line = format!("{event:<10}");
        for (index, cell) in cells.iter().enumerate() {
            let width = self.widths.get(index).copied().unwrap_or_default();
            line += &format!("{cell:<width$}  ");
        }
        line.trim_end().to_owned()
    }

    fn show(
        &self,
        event: &str,
        kind: &'static ApiResourceKind,
        object: &Value,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        match out.format() {
            OutputFormat::Json => out.json_line(&json!({ "type": event, "object": object })),
            OutputFormat::Yaml => {
                out.line("---")?;
                out.line(format_args!("# {event}"))?;
                out.yaml(&to_document(kind, object))
            }
            OutputFormat::Name => out.line(kind.name_of(object)),
            OutputFormat::Table | OutputFormat::Wide => {
                let objects = std::slice::from_ref(object);
                let (_, rows) = table_of(kind, objects, self.is_wide(out), &self.options());
                let mut rows = rows.into_iter();
                rows.try_for_each(|cells| out.line(self.row(event, cells)))
            }
        }
    }
}
