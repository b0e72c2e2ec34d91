//! Standard output, written by a thread of its own.
//!
//! A terminal that is slow, or held by Ctrl-S, must not hold up the monitors and the application, which speak from
//! their own tasks: that would be measured. Nothing waits here but [`Output::flush`].

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// Where text goes. The thread ends when it is dropped and all is written.
#[derive(Debug)]
pub(super) struct Output(Sender<Message>);

#[derive(Debug)]
enum Message {
    Text(String),
    Flush(Sender<()>),
}

impl Output {
    /// Starts the thread.
    pub(super) fn new() -> Self {
        let (sender, inbox) = mpsc::channel();
        thread::spawn(move || write(&inbox));
        Self(sender)
    }

    /// Has this written after all that came before, in one piece.
    pub(super) fn put(&self, text: String) {
        // The thread ends only with this sender.
        let _ = self.0.send(Message::Text(text));
    }

    /// Waits until all is written.
    pub(super) fn flush(&self) {
        let (done, wait) = mpsc::channel();
        let _ = self.0.send(Message::Flush(done));
        let _ = wait.recv();
    }
}

fn write(inbox: &Receiver<Message>) {
    for message in inbox {
        match message {
            Message::Text(text) => {
                let mut out = io::stdout().lock();
                // When nobody reads it any more there is nobody to tell.
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            }
            Message::Flush(done) => drop(done),
        }
    }
}
