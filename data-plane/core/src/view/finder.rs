//! Full-text index of the tools of a progressive gateway. The index is built with the view and its size is bounded.
//! Tools that the caller may not use are left out of each result. Apart from the bounds, they do not affect the order
//! of the others.

mod words;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use toolgate_mcp::{Span, object};

use crate::{Grant, ToolView};

use words::{Words, is_start};

/// Default number of tools in a result.
pub(crate) const USUAL: usize = 10;
/// Maximum number of tools in a result.
pub(crate) const MOST: usize = 50;
/// Maximum length of a query, in characters.
pub(crate) const QUERY: usize = 1_000;

/// Maximum number of query words that are used; further ones are ignored.
const QUERY_WORDS: usize = 16;
/// Maximum size of the tools in a result, in bytes. The best match is always included.
const SHOWN: usize = 256 * 1024;
/// Maximum size of the indexed title and description of a tool, in bytes.
const TEXT: usize = 2 * 1024;
/// Maximum size of the indexed texts of all tools of a gateway, in bytes.
const TEXTS: usize = 1024 * 1024;
/// Maximum number of positions that are read for one query word: several for each tool of the largest gateway.
const PLACES: usize = 32 * 1024;
/// Maximum number of index words that are searched for a substring, for scripts without word separators.
const UNPARTED: usize = 32 * 1024;

/// Members of a definition that are included in a result, in this order.
const MEMBERS: [&str; 4] = ["title", "description", "inputSchema", "annotations"];

/// Index of the tools of one gateway. Tools are identified by their position in its list.
pub(crate) struct Finder {
    words: Vec<(Box<str>, Box<[Place]>)>,
    cards: Vec<Card>,
}

/// Position of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    tool: u32,
    part: Part,
}

/// Indexed field of a tool, in ascending order of weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Title or description.
    Text,
    /// Name.
    Name,
}

/// Members of a definition that are included in a result, with their spans.
type Card = Box<[(&'static str, Span)]>;

/// Match quality of a tool. Fields are compared in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    exact: bool,
    names: u8,
    texts: u8,
}

impl Finder {
    /// Builds the index of these tools.
    pub(super) fn new(tools: &[Arc<ToolView>]) -> Self {
        let room = TEXT.min(TEXTS / tools.len().max(1));
        let mut words: BTreeMap<Box<str>, BTreeSet<Place>> = BTreeMap::new();
        let mut cards = Vec::with_capacity(tools.len());
        for (tool, view) in (0..).zip(tools) {
            let mut add = |text: &str, part| {
                for word in Words::of(text) {
                    words.entry(word).or_default().insert(Place { tool, part });
                }
            };
            add(&view.exposed, Part::Name);
            let definition = &view.definition;
            let mut card = Vec::with_capacity(MEMBERS.len());
            let mut room = room;
            let members: Vec<_> = object::members(definition.as_bytes()).collect();
            for shown in MEMBERS {
                let Some(member) = members.iter().find(|member| member.name == shown) else {
                    continue;
                };
                card.push((shown, member.span));
                if let Ok(text) = serde_json::from_slice::<String>(member.value) {
                    let text = start(&text, room);
                    room -= text.len();
                    add(text, Part::Text);
                }
            }
            cards.push(card.into());
        }
        let words = words.into_iter();
        Self {
            words: words
                .map(|(word, places)| (word, places.into_iter().collect()))
                .collect(),
            cards,
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
        let all = found.iter().take(limit.min(MOST));
        for (nth, (tool, card)) in all.enumerate() {
            let before = out.len();
            if nth > 0 {
                out.push(',');
            }
            show(tool, card, &mut out);
            if out.len() > SHOWN && nth > 0 {
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
    ) -> Vec<(&'a ToolView, &'a Card)> {
        let told = tools.iter().map(|tool| &**tool).zip(&self.cards);
        let visible = |tool: &ToolView| grant.allows(&tool.exposed);
        if query.is_empty() {
            return told.filter(|(tool, _)| visible(tool)).collect();
        }
        let scored = told.zip(self.scores(tools.len(), query));
        let mut found: Vec<_> = scored
            .filter(|((tool, _), _)| visible(tool))
            .map(|((tool, card), score)| {
                let exact = *tool.exposed == *query;
                (Score { exact, ..score }, tool, card)
            })
            .filter(|(score, ..)| *score != Score::default())
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
    fn scores(&self, tools: usize, query: &str) -> Vec<Score> {
        let mut scores = vec![Score::default(); tools];
        let mut best: Vec<Option<Part>> = vec![None; tools];
        let words: BTreeSet<Box<str>> = Words::of(query).take(QUERY_WORDS).collect();
        for word in words {
            for place in self.places(&word) {
                let tool = usize::try_from(place.tool).unwrap_or(usize::MAX);
                if let Some(best) = best.get_mut(tool) {
                    *best = (*best).max(Some(place.part));
                }
            }
            for (score, best) in scores.iter_mut().zip(&mut best) {
                match best.take() {
                    Some(Part::Name) => score.names += 1,
                    Some(Part::Text) => score.texts += 1,
                    None => {}
                }
            }
        }
        scores
    }

    /// Positions of this word, followed by those of longer words with this prefix. For scripts without word
    /// separators, also those of words that contain it.
    fn places<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a Place> {
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
        let begin = begin.filter(move |(known, _)| **known == *word || is_start(word));
        let within = unparted.iter().take(UNPARTED);
        let within = within.filter(move |(known, _)| known.contains(word));
        let places = begin.chain(within).flat_map(|(_, places)| places);
        places.take(PLACES)
    }
}

/// Writes a tool of a search result: its definition without the members that only hosts use.
fn show(tool: &ToolView, card: &Card, out: &mut String) {
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

/// Longest prefix of the text with at most this many bytes.
fn start(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
