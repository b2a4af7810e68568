// Copyright: the overloom.fabric authors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Without this script the page is whole: links of the picture lead to the details of a thing. With it, these open beside the picture, and
// the search hides what does not match.
"use strict";
(() => {
  const panel = document.getElementById("panel");
  const search = document.getElementById("search");
  const links = [...document.querySelectorAll(".picture a")];
  const reasons = [...document.querySelectorAll(".matrix a.reason")];
  const searched = [...document.querySelectorAll(".thing, section tbody tr")].filter(
    (one) => one.classList.contains("thing") || !one.closest(".thing, .matrix"));
  const href = (link) => link.getAttribute("href") || link.getAttributeNS("http://www.w3.org/1999/xlink", "href");
  const target = (link) => decodeURIComponent(href(link).slice(1));
  const thing = (id) => document.getElementById(id)?.closest(".thing");

  const show = (id) => {
    for (const link of [...links, ...reasons]) link.classList.toggle("chosen", target(link) === id);
    const found = thing(id);
    panel.replaceChildren();
    if (!found) return;
    const shown = found.cloneNode(true);
    shown.removeAttribute("id");
    const close = document.createElement("button");
    close.textContent = "×";
    close.title = "Close";
    close.addEventListener("click", () => show(""));
    panel.append(close, shown);
  };

  for (const link of [...links, ...reasons]) {
    link.addEventListener("click", (event) => {
      if (!thing(target(link))) return;
      event.preventDefault();
      show(target(link));
    });
  }

  search.hidden = false;
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = (text) => words.every((word) => text.toLowerCase().includes(word));
    for (const one of searched) one.hidden = !found(one.textContent);
    for (const link of links) {
      const tip = link.getAttributeNS("http://www.w3.org/1999/xlink", "title") || "";
      link.classList.toggle("dim", !found(`${target(link)} ${tip} ${link.textContent}`));
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") show("");
  });
})();
