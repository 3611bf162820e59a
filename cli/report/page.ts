/** A report as one HTML file: no script, no font, picture or style from elsewhere; light and dark as the reader's system. */
import { type Markup, type MarkupPart, markup } from "./markup.ts";

export interface Page {
  readonly title: string;
  /** Under the title. */
  readonly lead: MarkupPart;
  readonly sections: readonly Section[];
  readonly footer: MarkupPart;
}

export interface Section {
  /** Anchor; letters and dashes. */
  readonly id: string;
  readonly title: string;
  /** What the reader sees and how to read it. */
  readonly intro: MarkupPart;
  readonly body: MarkupPart;
}

export interface Column {
  readonly title: string;
  /** Numbers stand at the right. */
  readonly numeric: boolean;
}

export function pageHtml({ title, lead, sections, footer }: Page): string {
  const links = sections.map(({ id, title: name }) => markup`<a href="#${id}">${name}</a> `);
  const { markup: html } = markup`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${title}</title>
<style>${{ markup: STYLE }}</style>
</head>
<body>
<header><h1>${title}</h1>${lead}<nav>${links}</nav></header>
<main>${sections.map(sectionHtml)}</main>
<footer>${footer}</footer>
</body>
</html>
`;
  return html;
}

/** A table that scrolls on its own where the screen is narrow. */
export function tableHtml(columns: readonly Column[], rows: readonly (readonly MarkupPart[])[]): Markup {
  const cellClass = (i: number) => (columns[i]?.numeric === true ? "number" : "text");
  return markup`<div class="scroll"><table><thead><tr>${columns.map(
    ({ title }, i) => markup`<th scope="col" class="${cellClass(i)}">${title}</th>`,
  )}</tr></thead><tbody>${rows.map(
    (cells) => markup`<tr>${cells.map((cell, i) => markup`<td class="${cellClass(i)}">${cell}</td>`)}</tr>
`,
  )}</tbody></table></div>`;
}

/** A picture that scrolls on its own rather than becoming too small to read. */
export function figureHtml(picture: Markup, caption: MarkupPart): Markup {
  return markup`<figure><div class="scroll">${picture}</div><figcaption>${caption}</figcaption></figure>`;
}

export function boxHtml(kind: "note" | "warning" | "promise", body: MarkupPart): Markup {
  return markup`<div class="box ${kind}">${body}</div>`;
}

export function listHtml(items: readonly MarkupPart[]): Markup {
  return markup`<ul>${items.map((item) => markup`<li>${item}</li>`)}</ul>`;
}

/** Figures to see first: a value and what it is. */
export function tilesHtml(tiles: readonly { readonly value: string; readonly name: string }[]): Markup {
  return markup`<dl class="tiles">${tiles.map(
    ({ value, name }) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`,
  )}</dl>`;
}

/** Names and values, one a line. */
export function factsHtml(facts: readonly (readonly [string, MarkupPart])[]): Markup {
  return markup`<dl class="facts">${facts.map(([name, value]) => markup`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

function sectionHtml({ id, title, intro, body }: Section): Markup {
  return markup`<section id="${id}"><h2>${title}</h2><p class="intro">${intro}</p>${body}</section>
`;
}

/** Colours are apart for the colour-blind too (Okabe and Ito 2008, darkened or lightened for contrast). */
const STYLE = `
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--ink:#1d2125;--soft:#59626b;--rule:#e1e4e7;--grid:#eceef0;
--c0:#0067a5;--c1:#c8540a;--c2:#00855f;--c3:#a8437f;--c4:#8a6d00;--c5:#3d8fbf;--good:#00703c;--bad:#b3261e;--warn:#fff6e0;--warnrule:#d9a400;--promise:#eaf4ee}
@media (prefers-color-scheme:dark){:root{--page:#15181b;--card:#1d2125;--ink:#e8eaed;--soft:#a3adb7;--rule:#343a40;--grid:#2a3036;
--c0:#5fb0ea;--c1:#f09048;--c2:#3cc49a;--c3:#e08bbd;--c4:#d9bb3c;--c5:#9fd0f0;--good:#5ec98b;--bad:#ff8a80;--warn:#33290f;--warnrule:#b98d00;--promise:#16281f}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:62rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .5rem}h2{font-size:1.2rem;margin:0 0 .3rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{margin:.4rem 0}nav{margin:1rem 0 0;font-size:.9rem}nav a{margin-right:.8rem;white-space:nowrap}a{color:var(--c0)}
section{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:1.1rem 1.2rem;margin:1.2rem 0}
.intro,figcaption,footer{color:var(--soft);font-size:.9rem;max-width:48rem}footer{margin-top:2rem}
code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;min-width:100%;margin:.6rem 0}
th,td{padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--rule);vertical-align:top}th{color:var(--soft);font-weight:600}
.text{text-align:left}.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.text{min-width:7rem}td .good{white-space:nowrap}.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}.quiet{color:var(--soft)}
summary{cursor:pointer;margin:.6rem 0}figure{margin:.8rem 0}.row{display:flex;flex-wrap:wrap;gap:1rem}.row>figure{flex:1 1 19rem;min-width:0}
.chart{display:block;width:100%;min-width:27rem;height:auto;font:12px system-ui,sans-serif}.row .chart{min-width:0}
.chart text{fill:var(--ink)}.chart .tick,.chart .name{fill:var(--soft)}.chart .label{font-weight:600;paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}.line{fill:none;stroke:var(--k);stroke-width:2}.thin{stroke-width:1.3}.dashed{stroke-dasharray:5 4}
.dot{fill:var(--k)}.ring{fill:var(--card);stroke:var(--k);stroke-width:2}.bar{fill:var(--k);opacity:.75}.band{fill:var(--k);opacity:.18}.ribbon{fill:var(--k);opacity:.35}
.c0{--k:var(--c0)}.c1{--k:var(--c1)}.c2{--k:var(--c2)}.c3{--k:var(--c3)}.c4{--k:var(--c4)}.c5{--k:var(--c5)}.muted{--k:var(--soft)}
.box{border-left:4px solid var(--rule);border-radius:4px;padding:.5rem .9rem;margin:.8rem 0}.box ul{margin:.3rem 0;padding-left:1.2rem}
.warning{background:var(--warn);border-color:var(--warnrule)}.promise{background:var(--promise);border-color:var(--good)}.note{background:var(--page)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:1rem 0}.tiles div{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:.6rem .8rem}
.tiles dt{color:var(--soft);font-size:.82rem}.tiles dd{margin:0;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;font-size:.9rem;margin:.6rem 0}.facts dt{color:var(--soft)}.facts dd{margin:0;min-width:0}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(10.5rem,1fr));gap:.9rem;margin:.8rem 0}
.example{border:1px solid var(--rule);border-radius:6px;padding:.6rem;font-size:.85rem}.example img{display:block;height:5.5rem;max-width:100%;image-rendering:pixelated;margin-bottom:.4rem;object-fit:contain}.example p{margin:0}
@media (max-width:36rem){.facts{grid-template-columns:1fr}.facts dd{margin-bottom:.4rem}section{padding:.9rem .8rem}}
@media print{section{break-inside:avoid}nav{display:none}}
`;
