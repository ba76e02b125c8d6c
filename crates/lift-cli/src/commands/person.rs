//! Pieces of input and Ctrl-C of a person come in, whole lines and whether to leave go out.

use crate::{
    editor::{Editor, Entered},
    failure::{Exit, Failure},
    input::Piece,
};

/// Who types.
#[derive(Debug)]
pub(crate) struct Person {
    /// None where the terminal itself edits the line.
    editor: Option<Editor>,
    /// Whether the next Ctrl-C leaves.
    warned: bool,
}

impl Person {
    pub(crate) fn new(editor: Option<Editor>) -> Self {
        let warned = false;
        Self { editor, warned }
    }

    /// The line so far, where it is drawn.
    pub(crate) fn line(&self) -> Option<&str> {
        self.editor.as_ref().map(Editor::line)
    }

    /// Whether Ctrl-C is a warning only: it clears the line, and the second one leaves.
    pub(crate) fn is_warned(&mut self) -> bool {
        let cleared = self.editor.as_mut().is_some_and(Editor::clear);
        !std::mem::replace(&mut self.warned, true) || cleared
    }
}

/// What a piece of input, or its end, enters.
///
/// # Errors
/// A line that fits no message.
pub(crate) fn entered(
    piece: Option<Piece>,
    mut person: Option<&mut Person>,
) -> Result<Vec<Entered>, Failure> {
    if let Some(person) = &mut person {
        person.warned = false;
    }
    let editor = person.and_then(|person| person.editor.as_mut());
    match (piece, editor) {
        (None, _) => Ok(vec![Entered::End]),
        (Some(Piece::Keys(keys)), Some(editor)) => Ok(editor.take(&keys)),
        (Some(Piece::Keys(_)), None) => Ok(vec![]),
        (Some(Piece::Line(line)), _) => Ok(vec![Entered::Line(line)]),
        (Some(Piece::Bad { number, why }), _) => Err(Failure::new(
            Exit::Failed,
            format!("line {number} was not sent"),
            why,
            "each line is one message: UTF-8 text of at most 128 KiB",
        )),
    }
}
