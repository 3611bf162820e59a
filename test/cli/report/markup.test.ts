import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { markup } from "../../../cli/report/markup.ts";

describe("markup", () => {
  it("escapes texts and leaves markup alone", () => {
    const inner = markup`<b>${`<&"'>`}</b>`;
    assert.equal(inner.markup, "<b>&lt;&amp;&quot;&#39;&gt;</b>");
    assert.equal(markup`<p>${[inner, null, "&"]}</p>`.markup, `<p>${inner.markup}&amp;</p>`);
  });

  it("replaces what is no character, keeps pairs of surrogates", () => {
    assert.equal(markup`${"a\u0000b\u001b[31m\ud800c😀"}`.markup, "a\ufffdb\ufffd[31m\ufffdc😀");
  });

  it("writes numbers short and refuses what cannot be drawn", () => {
    assert.equal(markup`${1 / 3} ${-0.001} ${12}`.markup, "0.33 0 12");
    assert.throws(() => markup`${Number.NaN}`, /cannot draw/);
    assert.throws(() => markup`${Number.POSITIVE_INFINITY}`, /cannot draw/);
  });
});
