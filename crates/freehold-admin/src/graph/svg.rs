//! The drawing.

use super::{Arrow, WaitGraph, layout};
use crate::limits;
use maud::{Markup, PreEscaped, html};

const CHARACTER: f64 = 7.0;
const HEIGHT: f64 = 40.0;
const LAYER: f64 = 104.0;
const GAP: f64 = 28.0;
const MARGIN: f64 = 12.0;
/// Room at each side for arrows that go round.
const SIDE: f64 = 60.0;

/// Colours of a drawing that stands alone; on a page those of the page hold.
const STYLE: &str = "svg{background:#fff;font:12px ui-monospace,monospace}\
.node rect{fill:#f2f4f7;stroke:#667}.node text{fill:#111}.node .detail{fill:#556}\
.ring rect{fill:#fde0e0;stroke:#c02020}.victim rect{fill:#c02020}.victim text,.victim .detail{fill:#fff}\
.arrow path{fill:none;stroke:#667;stroke-width:1.5}.arrow text{fill:#334;paint-order:stroke;stroke:#fff;stroke-width:6px}.arrow .head{fill:#667;stroke:none}\
.arrow.ring path{stroke:#c02020;stroke-width:2.5}.arrow.ring .head{fill:#c02020}.arrow.ring text{fill:#a01010}";

struct Place {
    x: f64,
    y: f64,
    width: f64,
}

impl Place {
    fn middle(&self) -> f64 {
        self.x + self.width / 2.0
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= limits::DRAWN_LABEL {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limits::DRAWN_LABEL - 1).collect();
    format!("{kept}\u{2026}")
}

/// The end of a path's name, where that says most.
fn shortened_at_front(text: &str) -> String {
    let length = text.chars().count();
    if length <= limits::DRAWN_LABEL {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(length - limits::DRAWN_LABEL + 1).collect();
    format!("\u{2026}{kept}")
}

struct Placed {
    boxes: Vec<Place>,
    layer_of: Vec<usize>,
    width: f64,
    height: f64,
}

fn place(graph: &WaitGraph) -> Placed {
    let layout::Layers { layers, layer_of } = layout::layers(graph.nodes.len(), &graph.pairs());
    let width_of = |node: usize| {
        let node = &graph.nodes[node];
        let characters =
            shortened(&node.label).chars().count().max(shortened_at_front(&node.detail).chars().count());
        (characters as f64 * CHARACTER + 20.0).max(80.0)
    };
    let row = |layer: &Vec<usize>| {
        layer.iter().map(|node| width_of(*node)).sum::<f64>() + GAP * (layer.len().max(1) - 1) as f64
    };
    let widest = layers.iter().map(row).fold(0.0, f64::max);
    let mut boxes: Vec<Place> =
        (0..graph.nodes.len()).map(|_| Place { x: 0.0, y: 0.0, width: 0.0 }).collect();
    for (index, layer) in layers.iter().enumerate() {
        let mut x = MARGIN + SIDE + (widest - row(layer)) / 2.0;
        for node in layer {
            let width = width_of(*node);
            boxes[*node] = Place { x, y: MARGIN + LAYER * index as f64, width };
            x += width + GAP;
        }
    }
    let height = MARGIN * 2.0 + HEIGHT + LAYER * (layers.len().max(1) - 1) as f64;
    Placed { boxes, layer_of, width: widest + 2.0 * (MARGIN + SIDE), height }
}

/// The way of an arrow, where its label stands, and where its head points: down, or to the left.
struct Way {
    path: String,
    label: (f64, f64),
    head: String,
}

fn way(placed: &Placed, arrow: &Arrow, number: usize) -> Way {
    let (from, to) = (&placed.boxes[arrow.from], &placed.boxes[arrow.to]);
    let (above, below) = (placed.layer_of[arrow.from], placed.layer_of[arrow.to]);
    // Several arrows between the same layers have their labels at different heights.
    let shift = (number % 3) as f64 * 13.0 - 13.0;
    if below == above + 1 {
        let (x1, y1) = (from.middle(), from.y + HEIGHT);
        let (x2, y2) = (to.middle() + (x1 - to.middle()).clamp(-to.width / 3.0, to.width / 3.0), to.y);
        let half = (y1 + y2) / 2.0;
        return Way {
            path: format!("M{x1:.1} {y1:.1}C{x1:.1} {half:.1} {x2:.1} {half:.1} {x2:.1} {:.1}", y2 - 7.0),
            label: ((x1 + x2) / 2.0, half + shift),
            head: format!(
                "M{:.1} {:.1}L{x2:.1} {y2:.1}L{:.1} {:.1}Z",
                x2 - 4.5,
                y2 - 9.0,
                x2 + 4.5,
                y2 - 9.0
            ),
        };
    }
    // Round the outside: back up on the right, past a layer on the left.
    let back = below <= above;
    let side = if back { 1.0 } else { -1.0 };
    let edge = |place: &Place| if back { place.x + place.width } else { place.x };
    let (x1, y1) = (edge(from), from.y + HEIGHT / 2.0 - 4.0);
    let (x2, y2) = (edge(to), to.y + HEIGHT / 2.0 + if arrow.from == arrow.to { 12.0 } else { 4.0 });
    let outer = if back {
        placed.boxes.iter().map(|place| place.x + place.width).fold(0.0, f64::max)
    } else {
        placed.boxes.iter().map(|place| place.x).fold(f64::MAX, f64::min)
    };
    let bend = outer + side * (20.0 + (number % 4) as f64 * 8.0);
    let tip = x2 + side * 9.0;
    let label_x = if back { bend - 4.0 } else { bend + 4.0 };
    Way {
        path: format!("M{x1:.1} {y1:.1}C{bend:.1} {y1:.1} {bend:.1} {y2:.1} {:.1} {y2:.1}", x2 + side * 7.0),
        label: (label_x, (y1 + y2) / 2.0 + shift),
        head: format!("M{tip:.1} {:.1}L{x2:.1} {y2:.1}L{tip:.1} {:.1}Z", y2 - 4.5, y2 + 4.5),
    }
}

fn class_of(base: &str, in_ring: bool, victim: bool) -> String {
    let ring = if in_ring { " ring" } else { "" };
    let victim = if victim { " victim" } else { "" };
    format!("{base}{ring}{victim}")
}

/// The graph as an element of a page; `title` says for those who do not see it what it shows.
pub(crate) fn draw(graph: &WaitGraph, title: &str) -> Markup {
    drawing(graph, title, None)
}

/// The graph as a document.
pub(crate) fn standalone(graph: &WaitGraph, title: &str) -> String {
    drawing(graph, title, Some(STYLE)).into_string()
}

fn drawing(graph: &WaitGraph, title: &str, style: Option<&str>) -> Markup {
    let placed = place(graph);
    // Labels of arrows may be wider than the boxes.
    let widest_label =
        graph.arrows.iter().map(|arrow| shortened(&arrow.label).chars().count()).max().unwrap_or(0);
    let width = placed.width.max(widest_label as f64 * CHARACTER + 2.0 * MARGIN)
        + widest_label as f64 * CHARACTER / 2.0;
    let shift = widest_label as f64 * CHARACTER / 4.0;
    html! {
        svg xmlns="http://www.w3.org/2000/svg" role="img" class="graph"
            viewBox=(format!("{:.0} 0 {:.0} {:.0}", -shift, width, placed.height))
            width=(format!("{width:.0}")) height=(format!("{:.0}", placed.height)) {
            title { (title) }
            @if let Some(style) = style { style { (PreEscaped(style)) } }
            @for (number, arrow) in graph.arrows.iter().enumerate() {
                @let way = way(&placed, arrow, number);
                g class=(class_of("arrow", arrow.in_ring, false)) {
                    path d=(way.path) {}
                    path class="head" d=(way.head) {}
                    text x=(format!("{:.1}", way.label.0)) y=(format!("{:.1}", way.label.1)) text-anchor="middle" {
                        (shortened(&arrow.label))
                    }
                }
            }
            @for (node, place) in graph.nodes.iter().zip(&placed.boxes) {
                g class=(class_of("node", node.in_ring, node.victim)) {
                    rect x=(format!("{:.1}", place.x)) y=(format!("{:.1}", place.y))
                        width=(format!("{:.1}", place.width)) height=(HEIGHT) rx="6" {}
                    text x=(format!("{:.1}", place.middle())) text-anchor="middle"
                        y=(format!("{:.1}", place.y + if node.detail.is_empty() { 25.0 } else { 17.0 })) {
                        (shortened(&node.label))
                    }
                    @if !node.detail.is_empty() {
                        text class="detail" x=(format!("{:.1}", place.middle())) y=(format!("{:.1}", place.y + 32.0))
                            text-anchor="middle" { (shortened_at_front(&node.detail)) }
                    }
                }
            }
        }
    }
}
