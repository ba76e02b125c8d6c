//! Keys come in, the line so far and the lines that were entered go out.

/// Lines that the arrow keys bring back.
const HISTORY_MAX: usize = 200;

/// What a person did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Ended a line.
    Line(String),
    /// Ended the input.
    End,
}

/// One line in the making. The cursor is always at its end.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    line: String,
    /// Bytes of a character that is not whole yet.
    part: Vec<u8>,
    escape: Escape,
    history: Vec<String>,
    /// How many lines back the arrow keys are.
    back: usize,
}

/// How far into a key's escape sequence (ECMA-48 §5.4) the keys are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Inside,
}

impl Editor {
    /// The line so far.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Forgets the line so far; whether there was one.
    pub(crate) fn clear(&mut self) -> bool {
        let had = !self.line.is_empty();
        self.line.clear();
        self.back = 0;
        had
    }

    pub(crate) fn take(&mut self, keys: &[u8]) -> Vec<Entered> {
        keys.iter().filter_map(|key| self.key(*key)).collect()
    }

    fn key(&mut self, key: u8) -> Option<Entered> {
        match (self.escape, key) {
            (_, 0x1b) => self.escape = Escape::Begun,
            (Escape::Begun, b'[' | b'O') => self.escape = Escape::Inside,
            (Escape::Begun, _) => self.escape = Escape::None,
            (Escape::Inside, 0x40..=0x7e) => {
                self.escape = Escape::None;
                match key {
                    b'A' => self.recall(self.back.saturating_add(1)),
                    b'B' => self.recall(self.back.saturating_sub(1)),
                    _ => {}
                }
            }
            (Escape::Inside, _) => {}
            (Escape::None, b'\n' | b'\r') => return Some(self.enter()),
            // Ctrl-D
            (Escape::None, 0x04) if self.line.is_empty() => return Some(Entered::End),
            // Backspace
            (Escape::None, 0x08 | 0x7f) => drop(self.line.pop()),
            // Ctrl-U
            (Escape::None, 0x15) => drop(self.clear()),
            // Ctrl-W
            (Escape::None, 0x17) => {
                let rest = self.line.trim_end();
                let rest = rest.trim_end_matches(|c: char| !c.is_whitespace());
                self.line.truncate(rest.len());
            }
            (Escape::None, 0x00..=0x1f) => {}
            (Escape::None, _) => self.append(key),
        }
        None
    }

    fn append(&mut self, byte: u8) {
        self.part.push(byte);
        match std::str::from_utf8(&self.part) {
            Ok(whole) => {
                self.line.push_str(whole);
                self.part.clear();
            }
            Err(error) if error.error_len().is_some() => self.part.clear(),
            Err(_) => {}
        }
    }

    fn enter(&mut self) -> Entered {
        let line = std::mem::take(&mut self.line);
        self.back = 0;
        if !line.trim().is_empty() && self.history.last() != Some(&line) {
            if self.history.len() == HISTORY_MAX {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        Entered::Line(line)
    }

    fn recall(&mut self, back: usize) {
        self.back = back.min(self.history.len());
        let nth = self.back.checked_sub(1);
        let line = nth.and_then(|nth| self.history.iter().rev().nth(nth));
        self.line = line.cloned().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_lines() {
        for (keys, entered, left) in [
            ("echo 1\r\nec", vec!["echo 1", ""], "ec"),
            ("zü\u{7f}\u{8}x", vec![], "x"),
            ("one two  \u{17}", vec![], "one "),
            ("gone\u{15}new", vec![], "new"),
            ("a\u{4}", vec![], "a"),
            ("\u{4}", vec!["END"], ""),
            ("a\u{1b}[3~\u{1b}[1;5Cb\u{1b}xc\t", vec![], "abc"),
            ("one\ntwo\n\u{1b}[A", vec!["one", "two"], "two"),
            (
                "one\ntwo\n\u{1b}[A\u{1b}OA\u{1b}[A",
                vec!["one", "two"],
                "one",
            ),
            (
                "one\ntwo\n\u{1b}[A\u{1b}[A\u{1b}[B\u{1b}[B",
                vec!["one", "two"],
                "",
            ),
        ] {
            let mut editor = Editor::default();
            let lines: Vec<_> = editor
                .take(keys.as_bytes())
                .into_iter()
                .map(|entry| match entry {
                    Entered::Line(line) => line,
                    Entered::End => "END".to_owned(),
                })
                .collect();
            assert_eq!(
                (lines, editor.line()),
                (entered.iter().map(|s| (*s).to_owned()).collect(), left),
                "{keys:?}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_left_out() {
        let mut editor = Editor::default();
        assert_eq!(editor.take(b"a\xff\xc3"), []);
        assert_eq!(editor.take(b"\xa9b"), []);
        assert_eq!(editor.line(), "a\u{e9}b");
        assert!(editor.clear() && !editor.clear());
    }
}
