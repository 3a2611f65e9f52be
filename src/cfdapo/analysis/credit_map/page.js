// The page works without this. It adds arrow keys between spans, and Escape to hide the numbers.
"use strict";
(() => {
  const root = document.documentElement;
  const seen = (element) => element.getClientRects().length > 0;
  const spansOf = (node) => [...node.querySelectorAll("a.span")].filter(seen);
  const articles = () => [...document.querySelectorAll("article")].filter((a) => spansOf(a).length);

  function target(key, span) {
    const article = span.closest("article");
    const own = spansOf(article);
    if (key === "Home") return own[0];
    if (key === "End") return own[own.length - 1];
    if (key === "ArrowUp" || key === "ArrowDown") {
      const all = articles();
      const next = all[all.indexOf(article) + (key === "ArrowDown" ? 1 : -1)];
      return next && spansOf(next)[0];
    }
    const all = spansOf(document);
    return all[all.indexOf(span) + (key === "ArrowRight" ? 1 : -1)];
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") root.classList.add("quiet");
    const span = event.target.closest("a.span");
    const known = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
    const modified = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (!span || modified || !known.includes(event.key)) return;
    const next = target(event.key, span);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  const speak = () => root.classList.remove("quiet");
  document.addEventListener("focusin", speak);
  document.addEventListener("pointerover", speak);
})();
