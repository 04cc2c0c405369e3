//! Sets of characters, and the neighbours next to which an invisible character is legitimate.

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const TEXT_PRESENTATION: char = '\u{fe0e}';
const EMOJI_PRESENTATION: char = '\u{fe0f}';
const COMBINING_KEYCAP: char = '\u{20e3}';

/// Returns `true` if a character is invisible, changes the text direction, controls a terminal, or has no meaning that a
/// reader and a model share. Line breaks and tabs do not count. Joiners and variation selectors do, although some positions make them legitimate.
pub fn is_deceptive(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() && !matches!(c, '\n' | '\r' | '\t');
    }
    c.is_control()
        || is_bidi_control(c)
        || is_default_ignorable(c)
        || is_blank(c)
        || is_noncharacter(c)
        || is_private_use(c)
}

/// `Noncharacter_Code_Point` of `PropList.txt`: code points that are never assigned. Programs show nothing for them, or a
/// box, or remove them.
fn is_noncharacter(c: char) -> bool {
    let c = u32::from(c);
    matches!(c, 0xfdd0..=0xfdef) || matches!(c & 0xffff, 0xfffe..=0xffff)
}

/// General category `Co`: what they show is agreed between programs, or nothing.
fn is_private_use(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}')
}

/// `Bidi_Control` of `PropList.txt` (UAX #9).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `Default_Ignorable_Code_Point` of `DerivedCoreProperties.txt`: fillers, joiners, variation selectors, tags and the
/// code points reserved for more of them.
fn is_default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Characters of other classes that show nothing: the line and paragraph separators (`Zl`, `Zp`), the marks of
/// interlinear annotations and of objects, the blank Braille pattern, the Egyptian joiners and blanks, the filler of the
/// Khitan script, and the null notehead of music.
fn is_blank(c: char) -> bool {
    matches!(c,
        '\u{2028}'..='\u{2029}' | '\u{2800}' | '\u{fff9}'..='\u{fffc}' | '\u{13430}'..='\u{13442}' | '\u{16fe4}'
        | '\u{1d159}')
}

/// Returns `true` for the two joiners.
pub(super) fn is_joiner(c: char) -> bool {
    matches!(c, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER)
}

/// Returns `true` if a deceptive character is legitimate between its neighbours. A run of such characters never is.
pub(super) fn is_legitimate(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is_before = |set: fn(char) -> bool| before.is_some_and(set);
    let is_after = |set: fn(char) -> bool| after.is_some_and(set);
    match c {
        ZERO_WIDTH_JOINER if is_after(is_emoji) => {
            is_before(|c| is_emoji(c) || is_emoji_modifier(c) || c == EMOJI_PRESENTATION)
        }
        ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER => {
            is_before(uses_joiners) && !is_after(is_deceptive)
        }
        TEXT_PRESENTATION | EMOJI_PRESENTATION if is_before(is_keycap_base) => {
            after == Some(COMBINING_KEYCAP)
        }
        TEXT_PRESENTATION | EMOJI_PRESENTATION => {
            // A joiner of an emoji sequence may follow, any other invisible character may not.
            is_before(is_emoji) && !is_after(|c| is_deceptive(c) && c != ZERO_WIDTH_JOINER)
        }
        '\u{180b}'..='\u{180d}' | '\u{180f}' => {
            is_before(|c| matches!(c, '\u{1820}'..='\u{18aa}')) && !is_after(is_deceptive)
        }
        _ => false,
    }
}

/// Blocks of the scripts in which joiners change what is shown (UAX #31, contexts A1, A2 and B): those with
/// `Joining_Type` and those with a virama.
fn uses_joiners(c: char) -> bool {
    let joining = matches!(c,
        '\u{600}'..='\u{77f}' | '\u{7c0}'..='\u{7ff}' | '\u{840}'..='\u{8ff}' | '\u{1800}'..='\u{18af}'
        | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}');
    let with_virama = matches!(c,
        '\u{900}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{1a20}'..='\u{1aaf}'
        | '\u{1b00}'..='\u{1bff}' | '\u{a800}'..='\u{a82f}' | '\u{a880}'..='\u{a8ff}' | '\u{a980}'..='\u{a9df}'
        | '\u{aa60}'..='\u{aaff}' | '\u{abc0}'..='\u{abff}' | '\u{11000}'..='\u{11fff}');
    (joining || with_virama) && !is_deceptive(c)
}

/// Blocks that contain the bases of `emoji-variation-sequences.txt` and the characters of `Extended_Pictographic`.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}'
        | '\u{2300}'..='\u{23ff}' | '\u{24c2}' | '\u{25a0}'..='\u{27bf}' | '\u{2934}'..='\u{2935}'
        | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1f3fa}' | '\u{1f400}'..='\u{1faff}')
}

/// Skin tones (`Emoji_Modifier`).
fn is_emoji_modifier(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

fn is_keycap_base(c: char) -> bool {
    matches!(c, '#' | '*' | '0'..='9')
}
