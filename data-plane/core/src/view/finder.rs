//! The tools of a progressive gateway by the words that tell of them. The index is made with the view and bounded by it;
//! what a caller may not use is left out of each answer, and changes nothing in the order of the rest, short of the bounds.

mod words;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use toolgate_mcp::{Span, object};

use crate::{Grant, ToolView};

use words::{Words, is_start};

/// Tools that are shown if nobody says how many.
pub(crate) const USUAL: usize = 10;
/// Most tools that are shown.
pub(crate) const MOST: usize = 50;
/// Characters of a query.
pub(crate) const QUERY: usize = 1_000;

/// Words of a query that count, the first ones.
const QUERY_WORDS: usize = 16;
/// Bytes of the tools in one answer, of which the best one is shown in any case.
const SHOWN: usize = 256 * 1024;
/// Bytes of title and description of one tool that are indexed.
const TEXT: usize = 2 * 1024;
/// The same for all tools of a gateway.
const TEXTS: usize = 1024 * 1024;
/// Places that are looked at for one word of a query: several for each of as many tools as a gateway may have.
const PLACES: usize = 32 * 1024;
/// Words of scripts that do not part words that one is looked for within.
const UNPARTED: usize = 32 * 1024;

/// Members of a definition that are shown, in this order.
const MEMBERS: [&str; 4] = ["title", "description", "inputSchema", "annotations"];

/// An index over the tools of one gateway, which it counts in their order.
pub(crate) struct Finder {
    words: Vec<(Box<str>, Box<[Place]>)>,
    cards: Vec<Card>,
}

/// Where a word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    tool: u32,
    part: Part,
}

/// In which part of what tells of a tool. The later one counts more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Title or description.
    Text,
    /// The name.
    Name,
}

/// Which members of a definition are shown, and where they stand.
type Card = Box<[(&'static str, Span)]>;

/// How well a tool fits: what comes first decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    exact: bool,
    names: u8,
    texts: u8,
}

impl Finder {
    /// Of these.
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

    /// The tools among `tools` (those that it was made of) that `query` finds and `grant` allows, best first, as the JSON
    /// that a client is answered.
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
        // It is stable: what fits equally well stays in the order of lists.
        found.sort_by_key(|(score, ..)| Reverse(*score));
        found
            .into_iter()
            .map(|(_, tool, card)| (tool, card))
            .collect()
    }

    /// How well each tool fits, but for its whole name. A word counts once a tool, where it counts most.
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

    /// Where this word stands, then where longer ones stand that begin with it. In scripts that do not part words, one
    /// stands within others as well.
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

/// A tool as it is shown to whoever searched: its definition without what only hosts make use of.
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

/// No more than this many bytes of a text.
fn start(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
