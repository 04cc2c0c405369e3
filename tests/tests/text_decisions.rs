//! Programs decide on types, codes and reasons. Texts are for people: they change, and may be translated. Code that compares
//! the words of a text is listed here with the reason why there is nothing else to compare.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use syn::{spanned::Spanned as _, visit::Visit};

/// Folders whose code is checked.
const SOURCES: &[&str] = &["src", "control-plane", "data-plane", "shared"];
/// Methods that compare a text.
const COMPARISONS: &[&str] = &[
    "contains",
    "starts_with",
    "ends_with",
    "strip_prefix",
    "strip_suffix",
    "find",
    "split_once",
    "rsplit_once",
];
/// Methods that take a closure which may compare each of several words.
const SEARCHES: &[&str] = &["any", "all", "find", "filter", "position"];
/// Files that compare words, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "control-plane/store/src/etcd/error.rs",
        "etcd has one gRPC code for several errors and tells them apart by its text",
    ),
    (
        "shared/client/src/legacy/version_refusal.rs",
        "servers of other authors refuse a version with words of their own",
    ),
    (
        "src/cli/arguments/usage_error.rs",
        "the parser of arguments gives its tips as text",
    ),
    (
        "src/cli/client/admin/status.rs",
        "the transport gives its errors as text",
    ),
    (
        "src/cli/client/gateway_access/token_limit.rs",
        "the note is one that the command line wrote itself",
    ),
    (
        "src/cli/client/manifest.rs",
        "the parsers of documents give their errors as text",
    ),
    (
        "src/cli/commands/events.rs",
        "the changes of a version are recorded as lines of a documented form",
    ),
];

/// Collects the comparisons with words in one file.
#[derive(Default)]
struct ComparisonVisitor {
    /// Constants and variables that hold words.
    words: BTreeSet<String>,
    lines: Vec<usize>,
}

impl ComparisonVisitor {
    /// Returns `true` for words, for a list of them, and for a name of either.
    fn is_words(&self, expression: &syn::Expr) -> bool {
        if let syn::Expr::Lit(literal) = expression {
            return matches!(&literal.lit, syn::Lit::Str(text) if is_prose(&text.value()));
        }
        if let syn::Expr::Array(array) = expression {
            return array.elems.iter().any(|it| self.is_words(it));
        }
        if let syn::Expr::Tuple(tuple) = expression {
            return tuple.elems.iter().any(|it| self.is_words(it));
        }
        if let syn::Expr::Reference(reference) = expression {
            return self.is_words(&reference.expr);
        }
        if let syn::Expr::MethodCall(call) = expression {
            return self.is_words(&call.receiver);
        }
        let syn::Expr::Path(path) = expression else {
            return false;
        };
        let name = path.path.get_ident().map(ToString::to_string);
        name.is_some_and(|name| self.words.contains(&name))
    }
}

impl<'ast> Visit<'ast> for ComparisonVisitor {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        if self.is_words(&item.expr) {
            self.words.insert(item.ident.to_string());
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let syn::Pat::Ident(name) = &local.pat
            && let Some(init) = &local.init
            && matches!(&*init.expr, syn::Expr::Array(_))
            && self.is_words(&init.expr)
        {
            self.words.insert(name.ident.to_string());
        }
        syn::visit::visit_local(self, local);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let method = call.method.to_string();
        let is_comparison = COMPARISONS.contains(&method.as_str());
        let is_search = SEARCHES.contains(&method.as_str());
        let with_words = call.args.iter().any(|argument| self.is_words(argument));
        let of_message = call.args.iter().any(is_text) && is_message(&call.receiver);
        let in_closure = call.args.iter().any(compares) && self.is_words(&call.receiver);
        if is_comparison && (with_words || of_message) || is_search && in_closure {
            self.lines.push(call.span().start().line);
        }
        syn::visit::visit_expr_method_call(self, call);
    }
}

/// Returns `true` for a text of several words, such as a part of a sentence.
fn is_prose(text: &str) -> bool {
    let words = text.split_whitespace();
    let words = words.filter(|word| word.chars().all(|c| c.is_ascii_alphabetic() || c == '\''));
    words.count() >= 2
}

/// Returns `true` for an argument that may be a word: not punctuation, a list of characters, or a closure.
fn is_text(argument: &syn::Expr) -> bool {
    if let syn::Expr::Lit(literal) = argument {
        let has_letters = |text: &str| text.contains(char::is_alphabetic);
        return matches!(&literal.lit, syn::Lit::Str(text) if has_letters(&text.value()));
    }
    if let syn::Expr::Path(path) = argument {
        return path.path.get_ident().is_some();
    }
    matches!(argument, syn::Expr::Reference(_))
}

/// Returns `true` for a member or a variable of the name `message`, also if methods convert it.
fn is_message(receiver: &syn::Expr) -> bool {
    if let syn::Expr::Field(field) = receiver {
        return matches!(&field.member, syn::Member::Named(name) if name == "message");
    }
    if let syn::Expr::MethodCall(call) = receiver {
        return call.method == "message" || is_message(&call.receiver);
    }
    matches!(receiver, syn::Expr::Path(path) if path.path.is_ident("message"))
}

/// Returns `true` for a closure that compares a text.
fn compares(closure: &syn::Expr) -> bool {
    struct Finder(bool);
    impl<'ast> Visit<'ast> for Finder {
        fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
            self.0 |= COMPARISONS.contains(&call.method.to_string().as_str());
            syn::visit::visit_expr_method_call(self, call);
        }
    }
    let syn::Expr::Closure(closure) = closure else {
        return false;
    };
    let mut finder = Finder(false);
    finder.visit_expr(&closure.body);
    finder.0
}

/// Returns the lines of a source that compare words.
fn comparisons(source: &str) -> Result<Vec<usize>> {
    let file = syn::parse_file(source)?;
    let mut visitor = ComparisonVisitor::default();
    // Twice: a constant may stand below the code that uses it.
    visitor.visit_file(&file);
    visitor.lines.clear();
    visitor.visit_file(&file);
    Ok(visitor.lines)
}

/// Returns the Rust files outside tests, by their path from the root.
fn sources() -> Result<BTreeMap<String, String>> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut found = BTreeMap::new();
    let mut queue: Vec<PathBuf> = SOURCES.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = queue.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            let shown = path.strip_prefix(&root)?.display().to_string();
            let is_test = ["/tests", "/tests.rs", "/fake_server.rs", "/conformance"];
            if is_test.iter().any(|name| shown.ends_with(name)) {
                continue;
            }
            if path.is_dir() {
                queue.push(path);
            } else if Path::new(&shown).extension().is_some_and(|it| it == "rs") {
                found.insert(shown, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(found)
}

#[test]
fn decisions_are_made_on_types_and_not_on_the_words_of_texts() {
    let mut offences = Vec::new();
    let mut compared = BTreeSet::new();
    for (path, source) in sources().unwrap() {
        let lines = comparisons(&source).unwrap();
        if lines.is_empty() {
            continue;
        }
        if EXCEPTIONS.iter().any(|(excepted, _)| *excepted == path) {
            compared.insert(path);
            continue;
        }
        offences.extend(lines.iter().map(|line| format!("{path}:{line}")));
    }
    assert!(
        offences.is_empty(),
        "compares words; compare a type, a code or a reason instead:\n{}",
        offences.join("\n")
    );
    let unused = EXCEPTIONS.iter().map(|(path, _)| *path);
    let unused: Vec<_> = unused.filter(|path| !compared.contains(*path)).collect();
    assert!(unused.is_empty(), "these compare no words: {unused:?}");
}

#[test]
fn comparisons_with_words_are_found_and_others_are_not() {
    let found = |body: &str| comparisons(&format!("fn f() {{ {body} }} {CONSTANTS}")).unwrap();
    for body in [
        r#"text.contains("is not available");"#,
        r#"text.starts_with("there is no ");"#,
        "text.contains(SIGN);",
        "SIGNS.iter().any(|sign| text.contains(sign));",
        r#"["no answer", "no room"].iter().any(|sign| text.contains(sign));"#,
        r#"fault.message.contains("right");"#,
        r#"status.message().to_lowercase().contains("right");"#,
        "error.message.contains(sign);",
    ] {
        assert_eq!(found(body).len(), 1, "{body}");
    }
    for body in [
        r#"text.strip_prefix("https://");"#,
        r#"text.contains(", ");"#,
        "text.contains(&name);",
        "message.contains('{');",
        r#"message.split_once(": ");"#,
        "names.iter().any(|name| text.contains(name));",
        "message.contains(char::is_control);",
    ] {
        assert_eq!(found(body), Vec::<usize>::new(), "{body}");
    }
}

/// Constants of the sources of the test above.
const CONSTANTS: &str =
    r#"const SIGN: &str = "has been deleted"; const SIGNS: [&str; 2] = ["no answer", "no room"];"#;
