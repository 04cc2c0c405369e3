//! Full-text index of the tools of a progressive gateway. The index is built with the view and its size is bounded.
//! Tools that the caller may not use are left out of each result. Apart from the bounds, they do not affect the order
//! of the others.

mod words;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use toolgate_mcp::{ByteSpan, object};
use toolgate_model::text::truncated;

use crate::{Grant, ToolView};

use words::{WordIterator, is_prefix};

/// Default number of tools in a result.
pub(crate) const DEFAULT_LIMIT: usize = 10;
/// Maximum number of tools in a result.
pub(crate) const MAX_LIMIT: usize = 50;
/// Maximum length of a query, in characters.
pub(crate) const MAX_QUERY_CHARS: usize = 1_000;

/// Maximum number of query words that are used; further ones are ignored.
const MAX_QUERY_WORDS: usize = 16;
/// Maximum size of the tools in a result, in bytes. The best match is always included.
const MAX_RESULT_LEN: usize = 256 * 1024;
/// Maximum size of the indexed title and description of a tool, in bytes.
const MAX_TOOL_TEXT: usize = 2 * 1024;
/// Maximum size of the indexed texts of all tools of a gateway, in bytes.
const MAX_TOTAL_TEXT: usize = 1024 * 1024;
/// Maximum number of positions that are read for one query word: several for each tool of the largest gateway.
const MAX_POSITIONS: usize = 32 * 1024;
/// Maximum number of index words that are searched for a substring, for scripts without word separators.
const MAX_UNSEGMENTED_WORDS: usize = 32 * 1024;

/// Members of a definition that are included in a result, in this order.
const SHOWN_MEMBERS: [&str; 4] = ["title", "description", "inputSchema", "annotations"];

/// Index of the tools of one gateway. Tools are identified by their position in its list.
pub(crate) struct ToolIndex {
    words: Vec<(Box<str>, Box<[WordPosition]>)>,
    shown_members: Vec<ShownMembers>,
}

/// Position of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct WordPosition {
    tool: u32,
    field: IndexedField,
}

/// Indexed field of a tool, in ascending order of weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum IndexedField {
    /// Title or description.
    Text,
    /// Name.
    Name,
}

/// Members of a definition that are included in a result, with their spans.
type ShownMembers = Box<[(&'static str, ByteSpan)]>;

/// Match quality of a tool. Fields are compared in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct MatchScore {
    exact: bool,
    names: u8,
    texts: u8,
}

impl ToolIndex {
    /// Builds the index of these tools.
    pub(super) fn new(tools: &[Arc<ToolView>]) -> Self {
        let room = MAX_TOOL_TEXT.min(MAX_TOTAL_TEXT / tools.len().max(1));
        let mut words: BTreeMap<Box<str>, BTreeSet<WordPosition>> = BTreeMap::new();
        let mut shown_members = Vec::with_capacity(tools.len());
        for (tool, view) in (0..).zip(tools) {
            let mut add = |text: &str, part| {
                for word in WordIterator::of(text) {
                    words
                        .entry(word)
                        .or_default()
                        .insert(WordPosition { tool, field: part });
                }
            };
            add(&view.exposed, IndexedField::Name);
            let definition = &view.definition;
            let mut card = Vec::with_capacity(SHOWN_MEMBERS.len());
            let mut room = room;
            let members: Vec<_> = object::members(definition.as_bytes()).collect();
            for name in SHOWN_MEMBERS {
                let Some(member) = members.iter().find(|member| member.name == name) else {
                    continue;
                };
                card.push((name, member.span));
                if let Ok(text) = serde_json::from_slice::<String>(member.value) {
                    let text = truncated(&text, room);
                    room -= text.len();
                    add(text, IndexedField::Text);
                }
            }
            shown_members.push(card.into());
        }
        let words = words.into_iter();
        Self {
            words: words
                .map(|(word, positions)| (word, positions.into_iter().collect()))
                .collect(),
            shown_members,
        }
    }

    /// Searches `tools`, the tools that the index was built from. Returns the matches allowed by `grant`, best first,
    /// as JSON for the client.
    pub(super) fn search(
        &self,
        tools: &[Arc<ToolView>],
        grant: &Grant,
        query: &str,
        limit: usize,
    ) -> String {
        let found = self.find(tools, grant, query.trim());
        let mut out = String::from("{\"tools\":[");
        let all = found.iter().take(limit.min(MAX_LIMIT));
        for (nth, (tool, card)) in all.enumerate() {
            let before = out.len();
            if nth > 0 {
                out.push(',');
            }
            write_tool(tool, card, &mut out);
            if out.len() > MAX_RESULT_LEN && nth > 0 {
                out.truncate(before);
                break;
            }
        }
        out.push_str(&format!("],\"total\":{}}}", found.len()));
        out
    }

    fn find<'a>(
        &'a self,
        tools: &'a [Arc<ToolView>],
        grant: &Grant,
        query: &str,
    ) -> Vec<(&'a ToolView, &'a ShownMembers)> {
        let entries = tools.iter().map(|tool| &**tool).zip(&self.shown_members);
        let visible = |tool: &ToolView| grant.allows_tool(&tool.exposed);
        if query.is_empty() {
            return entries.filter(|(tool, _)| visible(tool)).collect();
        }
        let scored = entries.zip(self.scores(tools.len(), query));
        let mut found: Vec<_> = scored
            .filter(|((tool, _), _)| visible(tool))
            .map(|((tool, card), score)| {
                let exact = *tool.exposed == *query;
                (MatchScore { exact, ..score }, tool, card)
            })
            .filter(|(score, ..)| *score != MatchScore::default())
            .collect();
        // The sort is stable: equal matches stay in listing order.
        found.sort_by_key(|(score, ..)| Reverse(*score));
        found
            .into_iter()
            .map(|(_, tool, card)| (tool, card))
            .collect()
    }

    /// Scores each tool, except for the match of its whole name. Each query word counts once per tool, in the field
    /// with the highest weight.
    fn scores(&self, tools: usize, query: &str) -> Vec<MatchScore> {
        let mut scores = vec![MatchScore::default(); tools];
        let mut best: Vec<Option<IndexedField>> = vec![None; tools];
        let words: BTreeSet<Box<str>> = WordIterator::of(query).take(MAX_QUERY_WORDS).collect();
        for word in words {
            for position in self.positions(&word) {
                let tool = usize::try_from(position.tool).unwrap_or(usize::MAX);
                if let Some(best) = best.get_mut(tool) {
                    *best = (*best).max(Some(position.field));
                }
            }
            for (score, best) in scores.iter_mut().zip(&mut best) {
                match best.take() {
                    Some(IndexedField::Name) => score.names += 1,
                    Some(IndexedField::Text) => score.texts += 1,
                    None => {}
                }
            }
        }
        scores
    }

    /// Positions of this word, followed by those of longer words with this prefix. For scripts without word
    /// separators, also those of words that contain it.
    fn positions<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a WordPosition> {
        let from = |start: &str| {
            let at = self.words.partition_point(|(known, _)| **known < *start);
            self.words.get(at..).unwrap_or_default()
        };
        let unparted = match word.is_ascii() {
            true => &[],
            false => from("\u{80}"),
        };
        let begin = from(word).iter();
        let begin = begin.take_while(move |(known, _)| known.starts_with(word));
        let begin = begin.filter(move |(known, _)| **known == *word || is_prefix(word));
        let within = unparted.iter().take(MAX_UNSEGMENTED_WORDS);
        let within = within.filter(move |(known, _)| known.contains(word));
        let positions = begin.chain(within).flat_map(|(_, positions)| positions);
        positions.take(MAX_POSITIONS)
    }
}

/// Writes a tool of a search result: its definition without the members that only hosts use.
fn write_tool(tool: &ToolView, card: &ShownMembers, out: &mut String) {
    out.push_str("{\"name\":");
    out.push_str(&toolgate_mcp::text::quote(&tool.exposed));
    for (member, span) in card {
        let value = tool.definition.get(span.start..span.end);
        out.push_str(",\"");
        out.push_str(member);
        out.push_str("\":");
        out.push_str(value.unwrap_or("null"));
    }
    out.push('}');
}

#[cfg(test)]
mod tests;
