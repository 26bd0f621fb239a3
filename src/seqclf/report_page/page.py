"""The page around the sections: one file that asks for nothing else, in light and dark, on a phone and on paper."""

from collections.abc import Sequence

from seqclf.report_page.markup import Markup, join, tag

# Nothing is loaded and no script runs, whatever the data might smuggle in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--card:#f6f7f9;--ink:#1b1f24;--soft:#59636e;--rule:#d5dae0;
--one:#0067a3;--two:#c04f00;--three:#00795a;--heat:0,103,163;--for:0,114,178;--against:213,94,0;--alarm:#a33b00}
@media(prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1d2127;--ink:#e6e9ed;--soft:#a3adb8;--rule:#3a424c;
--one:#5fb8f0;--two:#ff9f57;--three:#3fcba0;--heat:70,160,225;--for:60,150,220;--against:230,120,30;--alarm:#ffab70}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0 auto;max-width:74rem;padding:0 1rem 4rem;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif}
header{padding:1.6rem 0 .4rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;line-height:1.3;margin:0 0 .7rem;padding-top:1.4rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
p{margin:.5rem 0;max-width:46rem}
a{color:var(--one)}
a:focus-visible,[tabindex]:focus-visible,summary:focus-visible{outline:3px solid var(--one);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.3rem .6rem}
.soft{color:var(--soft)}small,.small{font-size:.875rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.5rem 0 1.5rem;padding:0}
nav a{display:block;padding:.25rem 0;text-decoration:none}nav a:hover{text-decoration:underline}
section{margin-bottom:1.6rem;min-width:0}
.scroll{overflow-x:auto;max-width:100%;margin:.8rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
caption{text-align:left;color:var(--soft);padding:0 0 .4rem;font-size:.875rem}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
thead th{color:var(--soft);font-weight:600;vertical-align:bottom}
tbody th{font-weight:500}th:first-child{text-align:left;padding-left:0}
.words td,.words th{text-align:left;white-space:normal;overflow-wrap:anywhere;vertical-align:top}
.words th{min-width:8rem}
.fill{width:100%}
.track{position:relative;min-width:8rem;height:.9rem;
background:linear-gradient(var(--rule),var(--rule)) center/100% 1px no-repeat}
.track i{position:absolute;top:.3rem;height:.3rem;background:var(--one);opacity:.45;border-radius:.15rem}
.track b{position:absolute;top:.1rem;width:.7rem;height:.7rem;margin-left:-.35rem;border-radius:50%;background:var(--one)}
.other .track i,.other .track b{background:var(--soft)}
.big{font-size:2.6rem;font-weight:650;line-height:1.1;letter-spacing:-.02em;margin:.2rem 0 0}
.lead{display:grid;gap:0 2.5rem;align-items:start}
.findings{list-style:none;padding:0;margin:.6rem 0;max-width:50rem}
.findings li{padding:.4rem .8rem;margin:.35rem 0;border-left:3px solid var(--rule);background:var(--card)}
.findings .alarm{border-color:var(--alarm)}.findings .alarm b{color:var(--alarm)}
.charts{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));max-width:62rem}
figure{margin:.4rem 0;min-width:0;max-width:32rem}
figcaption{font-size:.9rem;margin-bottom:.3rem}.key{display:inline-block;margin-left:.9rem;color:var(--soft)}
.key i{display:inline-block;width:1.5em;height:0;margin-right:.35em;vertical-align:.28em;border-top:2.5px solid var(--one)}
.key .k2{border-top:2.5px dashed var(--two)}.key .k3{border-top:2.5px dotted var(--three)}
.key .km{border-top:1.5px dashed var(--soft)}.key .kb{border-top:.7em solid var(--rule);vertical-align:-.05em}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}
.end{text-anchor:end}.mid{text-anchor:middle}
polyline{fill:none;stroke-width:2;stroke-linejoin:round;stroke:var(--one)}
polyline.s2{stroke:var(--two);stroke-dasharray:6 3}polyline.s3{stroke:var(--three);stroke-dasharray:2 3}
.grid{stroke:var(--rule);stroke-width:.7}.axis{stroke:var(--soft)}.mark{stroke:var(--soft);stroke-dasharray:4 4}
.dot{fill:var(--one)}.dot.s2{fill:var(--two)}.dot.s3{fill:var(--three)}.bar{fill:var(--rule)}
rect.for{fill:rgb(var(--for))}rect.against{fill:rgb(var(--against))}
.heat{font-size:.75rem}.heat td{padding:0;width:2.4em;min-width:2.4em;height:2.1em;text-align:center;
border:1px solid var(--paper)}
.heat thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;padding:.3rem .1rem;font-weight:500;border:0}
.heat thead th:first-child{writing-mode:horizontal-tb;transform:none;text-align:left;min-width:6rem}
.heat th:first-child{position:sticky;left:0;background:var(--paper);padding-right:.6rem;border:0;z-index:1}
.heat .right{outline:1.5px solid var(--soft);outline-offset:-2px}
HEATS
.steps{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:1.05rem;
line-height:2;overflow-wrap:anywhere;white-space:pre-wrap;margin:.5rem 0}
.steps span{padding:.1rem .06em;border-bottom:3px solid transparent}
SCORES
.cases{list-style:none;padding:0;display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr))}
.cases>li{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;padding:.8rem 1rem;min-width:0}
.cases p{margin:.3rem 0}.cases h3{margin:0;font-weight:600;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:.875rem;border-top:1px solid var(--rule);padding-top:.8rem}
@media(min-width:62rem){.columns{display:grid;grid-template-columns:11rem minmax(0,1fr);gap:0 2.5rem}
nav{position:sticky;top:0;align-self:start;padding-top:1.4rem;max-height:100vh;overflow-y:auto}nav ul{display:block;margin:0}
.lead{grid-template-columns:auto minmax(0,1fr)}}
@media(max-width:34rem){.wide{display:none}th,td{padding:.3rem .5rem}h1{font-size:1.4rem}}
@media print{nav,.skip{display:none}.columns{display:block}.scroll{overflow:visible}.cases>li,figure{break-inside:avoid}}
"""


def _levels(selector: str, colour: str, strongest: float, count: int) -> str:
    """Return rules for `count` strengths of a background colour."""
    return "".join(
        f"{selector}{level}{{background:rgba(var(--{colour}),{strongest * level / count:.2f})}}"
        for level in range(1, count + 1)
    )


def style_sheet() -> str:
    """Return the styles of the page."""
    heats = _levels(".h", "heat", 0.62, 9)
    scores = _levels(".p", "for", 0.6, 5) + _levels(".n", "against", 0.6, 5)
    marked = [
        f"{','.join(f'.steps .{sign}{level}' for level in range(2, 6))}{{border-bottom-style:{style};"
        f"border-bottom-color:rgb(var(--{colour}))}}"
        for sign, style, colour in (("p", "solid", "for"), ("n", "dotted", "against"))
    ]
    return _STYLE.replace("HEATS", heats).replace("SCORES", scores + "".join(marked)).strip()


def build_page(title: str, under_title: Markup, sections: Sequence[tuple[str, str, Markup]], footer: Markup) -> str:
    """Return the whole page.

    Args:
        title: The heading, and what the browser's tab says.
        under_title: What comes under it.
        sections: The anchor, the short name for the navigation, and the content of each.
        footer: What comes last.
    """
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Markup(style_sheet())),
    ]
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]
    body = [
        tag("a", "Skip to the content", class_="skip", href="#content"),
        tag("header", tag("h1", title), under_title),
        tag(
            "div",
            tag("nav", tag("ul", *links), aria_label="Sections"),
            tag("main", *(content for _, _, content in sections), id="content"),
            class_="columns",
        ),
        tag("footer", footer),
    ]
    page = tag("html", tag("head", join(head, "\n")), tag("body", join(body, "\n")), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"
