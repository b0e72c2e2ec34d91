//! Draws what stands on the screen, in a frame of any size. It asks nobody and remembers nothing.

use std::iter;
use std::time::{Duration, SystemTime};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Table, Wrap};

use super::model::{Group, Model, Quiet, Said, Told};
use crate::cli::layout::{Colour, wrapped};
use crate::cli::status::{Absence, NodeView, State, View, about, colour, pause_line, votes};
use crate::journal::Moment;

/// How wide the list of groups is.
const LIST: u16 = 32;

/// What stands in the last line.
const KEYS: &str = " up/down: group   ?: help   q: end";

const HELP: &str = "\
up, down, k, j   choose the group
?                this
q, Esc, Ctrl-C   end

The list: each group with its master and epoch; in brackets how many
troubles it has. The others than the chosen one are looked at every 5 s.

says   what the node itself says that it is, asked every second
ping   how long it took to answer a PING
lag    bytes that it lacks of what the master has, and for how long it
       has not heard the master
votes  what the monitors say of it

What each word means, and what to do: docs/reference/status.md.";

/// Draws all.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let heights = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)];
    let [title, body, keys] = Layout::vertical(heights).areas(frame.area());
    let bar = Style::new().add_modifier(Modifier::REVERSED);
    let now = time_of_day(model.now);
    frame.render_widget(Paragraph::new(format!(" redis-failover top   {now} UTC")).style(bar), title);
    frame.render_widget(Paragraph::new(KEYS).style(bar), keys);
    let [list, group] = Layout::horizontal([Constraint::Length(LIST), Constraint::Fill(1)]).areas(body);
    draw_list(model, frame, list);
    draw_group(model, frame, group);
    if model.help {
        draw_help(frame, body);
    }
}

/// A time in whole seconds, which are enough for people.
fn time_of_day(time: SystemTime) -> String {
    Moment::from(time).to_string().split('.').next().unwrap_or_default().replace('T', " ")
}

fn rows(lines: usize) -> Constraint {
    Constraint::Length(u16::try_from(lines).unwrap_or(u16::MAX))
}

fn style(colour: Option<Colour>) -> Style {
    match colour {
        None => Style::new(),
        Some(Colour::Good) => Style::new().fg(Color::Green),
        Some(Colour::Bad) => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Some(Colour::Odd) => Style::new().fg(Color::Yellow),
        Some(Colour::Head) => Style::new().add_modifier(Modifier::DIM),
    }
}

fn draw_list(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    // Two lines for each group; the chosen one is always to be seen.
    let room = usize::from(area.height / 2).max(1);
    let first = (model.chosen + 1).saturating_sub(room);
    let shown = model.groups.iter().enumerate().skip(first).take(room);
    let lines: Vec<_> = shown.flat_map(|(index, group)| list_lines(group, index == model.chosen)).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::new().borders(Borders::RIGHT)), area);
}

fn list_lines(group: &Group, chosen: bool) -> [Line<'_>; 2] {
    let mark = if chosen { "> " } else { "  " };
    let name = Style::new().add_modifier(if chosen { Modifier::BOLD } else { Modifier::empty() });
    let (troubles, text) = match &group.seen {
        None => (0, "not looked at yet".to_owned()),
        Some(Err(absence)) => (1, absence.state.to_string()),
        Some(Ok(view)) => (view.troubles.len(), format!("{}, epoch {}", view.master, view.epoch)),
    };
    let count = if troubles == 0 { String::new() } else { format!(" [{troubles}]") };
    [
        Line::from(vec![
            Span::raw(mark),
            Span::styled(group.name.as_str(), name),
            Span::styled(count, style(Some(Colour::Bad))),
        ]),
        Line::styled(format!("  {text}"), style(Some(Colour::Head))),
    ]
}

fn draw_group(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let group = model.group();
    match (&group.seen, group.view()) {
        (Some(Err(absence)), Some(view)) => {
            let banner = banner(absence, view, area.width);
            let rest = Constraint::Fill(1);
            let [top, rest] = Layout::vertical([rows(banner.len() + 1), rest]).areas(area);
            frame.render_widget(Paragraph::new(banner), top);
            draw_view(model, group, view, frame, rest);
        }
        (Some(Err(absence)), None) => draw_absence(absence, frame, area),
        (_, Some(view)) => draw_view(model, group, view, frame, area),
        (_, None) => frame.render_widget(Paragraph::new(" asking ZooKeeper"), area),
    }
}

/// That what stands below is old. What the nodes say is not.
fn banner(absence: &Absence, view: &View, width: u16) -> Vec<Line<'static>> {
    let text = format!(
        "{}: since {} UTC the record is not read; it said then what stands below, but for says, ping and lag",
        absence.state,
        time_of_day(view.now)
    );
    let lines = wrapped(&text, usize::from(width).saturating_sub(2).max(1));
    lines.into_iter().map(|line| Line::styled(format!(" {line}"), style(Some(Colour::Bad)))).collect()
}

fn draw_absence(absence: &Absence, frame: &mut Frame<'_>, area: Rect) {
    let Absence { state, failure } = absence;
    let mut lines = vec![
        Line::styled(format!(" {state}"), style(Some(Colour::Bad))),
        Line::raw(format!(" {}", failure.message)),
    ];
    lines.extend(failure.hint.iter().map(|hint| Line::raw(format!(" {hint}"))));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

fn draw_view(model: &Model, group: &Group, view: &View, frame: &mut Frame<'_>, area: Rect) {
    let width = area.width.into();
    let (head, mut below) = (head(view, width), troubles(view, width));
    below.extend(abouts(view, width));
    let heights =
        [rows(head.len() + 1), rows(view.nodes.len() + 2), rows(below.len() + 1), Constraint::Fill(1)];
    let [top, nodes, middle, bottom] = Layout::vertical(heights).areas(area);
    frame.render_widget(Paragraph::new(head), top);
    draw_nodes(model, group, view, frame, nodes);
    let room = usize::from(middle.height);
    if below.len() > room {
        below.truncate(room.saturating_sub(1));
        below.push(Line::raw(" … and more: redis-failover status"));
    }
    frame.render_widget(Paragraph::new(below), middle);
    draw_history(group, frame, bottom);
}

/// A line that begins with what it is about.
fn labelled(label: &str, text: impl Into<String>, colour: Option<Colour>) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!(" {label:<9}"), style(Some(Colour::Head))),
        Span::styled(text.into(), style(colour)),
    ])
}

/// The same in as many lines as it takes: nothing of it is cut off.
fn in_full(label: &str, text: &str, colour: Option<Colour>, width: usize) -> Vec<Line<'static>> {
    let room = width.saturating_sub(10).max(1);
    let chunks = |line: String| {
        let all: Vec<_> = line.chars().collect();
        all.chunks(room).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>()
    };
    let lines = wrapped(text, room).into_iter().flat_map(chunks);
    let labels = iter::once(label).chain(iter::repeat(""));
    labels.zip(lines).map(|(label, line)| labelled(label, line, colour)).collect()
}

fn head(view: &View, width: usize) -> Vec<Line<'static>> {
    let (leader, led) = match &view.leader {
        Some(leader) => (leader.monitor.clone(), None),
        None => (State::NoLeader.to_string(), Some(Colour::Bad)),
    };
    let (quorum, registered, alive) = (view.quorum, view.monitors.len(), view.alive);
    let few = if alive < quorum { Some(Colour::Bad) } else { None };
    let mut lines = vec![
        labelled("group", format!("{}, epoch {}", view.path, view.epoch), None),
        labelled("phase", view.phase.word(), colour(view.phase)),
        labelled("leader", leader, led),
        labelled("quorum", format!("{quorum} of {registered} registered monitors, {alive} alive"), few),
    ];
    let change = view.change.iter();
    lines.extend(change.flat_map(|it| in_full("change", &it.to_string(), Some(Colour::Odd), width)));
    let pause = view.pause.iter();
    lines.extend(pause.flat_map(|it| in_full("paused", &pause_line(it), Some(Colour::Odd), width)));
    lines
}

fn draw_nodes(model: &Model, group: &Group, view: &View, frame: &mut Frame<'_>, area: Rect) {
    let heads = [" node", "role", "is", "says", "ping", "lag", "votes"];
    let rows = view.nodes.iter().map(|node| row(model, group, node, view.alive));
    let width = |node: &NodeView| node.addr.to_string().chars().count() + 1;
    let widest = view.nodes.iter().map(width).max().unwrap_or_default().clamp(8, 30);
    let widths = [
        Constraint::Length(u16::try_from(widest).unwrap_or(30)),
        Constraint::Length(7),
        Constraint::Length(2),
        Constraint::Length(26),
        Constraint::Length(8),
        Constraint::Length(14),
        Constraint::Fill(1),
    ];
    let heads = Row::new(heads).style(style(Some(Colour::Head)));
    frame.render_widget(Table::new(rows, widths).header(heads), area);
}

fn row(model: &Model, group: &Group, node: &NodeView, alive: usize) -> Row<'static> {
    let said = group.nodes.get(&node.addr);
    let (says, how) = says(model, node, said);
    let (voted, of_votes) = votes(&node.votes, alive);
    let told = said.and_then(|said| said.as_ref().ok());
    let or_none = |text: Option<String>| Span::raw(text.unwrap_or_else(|| "-".to_owned()));
    Row::new([
        Span::raw(format!(" {}", node.addr)),
        Span::styled(node.role.word(), style(colour(node.role))),
        Span::styled(node.is.word(), style(colour(node.is))),
        Span::styled(says, style(how)),
        or_none(told.map(|told| millis(told.ping))),
        or_none(told.and_then(|told| lag(group, node, told))),
        Span::styled(voted, style(of_votes)),
    ])
}

/// What the node says, and how that stands out.
fn says(model: &Model, node: &NodeView, said: Option<&Said>) -> (String, Option<Colour>) {
    match said {
        None => ("not asked yet".to_owned(), Some(Colour::Head)),
        Some(Err(Quiet::Because(why))) => (why.clone(), Some(Colour::Bad)),
        Some(Err(Quiet::Silent(since))) => {
            let seconds = model.instant.saturating_duration_since(*since).as_secs();
            (format!("no answer for {seconds} s"), Some(Colour::Bad))
        }
        Some(Ok(told)) => {
            let as_recorded = told.is_well_as(node.role == State::Master);
            (told.role(), if as_recorded { None } else { Some(Colour::Odd) })
        }
    }
}

fn lag(group: &Group, node: &NodeView, told: &Told) -> Option<String> {
    let bytes = group.lag(&node.addr).map(|bytes| format!("{bytes} B"));
    let seconds = told.heard.map(|seconds| format!("{seconds} s"));
    let all: Vec<_> = bytes.into_iter().chain(seconds).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn millis(span: Duration) -> String {
    format!("{}.{} ms", span.as_millis(), span.as_micros() % 1_000 / 100)
}

fn troubles(view: &View, width: usize) -> Vec<Line<'static>> {
    if view.troubles.is_empty() {
        return vec![labelled("trouble", "none", Some(Colour::Good))];
    }
    let lines = view.troubles.iter().flat_map(|trouble| {
        let found = format!("{}: {}", trouble.state, trouble.found);
        let labels = iter::once("  do").chain(iter::repeat(""));
        let fixes = trouble.fix.iter().zip(labels);
        let fixes = fixes.flat_map(|(line, label)| in_full(label, line, None, width));
        in_full("trouble", &found, Some(Colour::Bad), width).into_iter().chain(fixes)
    });
    lines.collect()
}

/// What else is known of the nodes.
fn abouts(view: &View, width: usize) -> Vec<Line<'static>> {
    let of_node = |node: &NodeView| {
        let lines = about(node, view.now).into_iter();
        let in_full = |(label, state, text): (&str, State, String)| {
            in_full(label, &format!("{} is {state}: {text}", node.addr), colour(state), width)
        };
        lines.flat_map(in_full).collect::<Vec<_>>()
    };
    view.nodes.iter().flat_map(of_node).collect()
}

/// The newest changes first, as many as there is room for.
fn draw_history(group: &Group, frame: &mut Frame<'_>, area: Rect) {
    let lines = match &group.history {
        None => vec![labelled("changes", "not read yet", None)],
        Some(Err(why)) => vec![labelled("changes", why.clone(), Some(Colour::Bad))],
        Some(Ok(page)) => {
            let mut all = page.lines();
            let head = all.next().map(|head| Line::styled(format!(" {head}"), style(Some(Colour::Head))));
            let newest = all.rev().map(|line| Line::raw(format!(" {line}")));
            head.into_iter().chain(newest).take(area.height.into()).collect()
        }
    };
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_help(frame: &mut Frame<'_>, body: Rect) {
    let length = |cells: usize| Constraint::Length(u16::try_from(cells).unwrap_or(u16::MAX));
    let width = HELP.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let area = body.centered(length(width + 4), length(HELP.lines().count() + 2));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title(" help ")), area);
}
