"use strict";
// Brings the page up to date in place, so that scrolling and animations go on.

const everyMilliseconds = 2000;

function sameShape(old, fresh) {
  return old.nodeName === fresh.nodeName && old.childNodes.length === fresh.childNodes.length;
}

function update(old, fresh) {
  if (!sameShape(old, fresh)) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const name of new Set([...old.getAttributeNames(), ...fresh.getAttributeNames()])) {
    const value = fresh.getAttribute(name);
    if (value === null) old.removeAttribute(name);
    else if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const pairs = [...old.childNodes].map((child, index) => [child, fresh.childNodes[index]]);
  for (const [child, next] of pairs) update(child, next);
}

async function refresh() {
  if (!document.hidden) {
    try {
      const response = await fetch("./", { cache: "no-store" });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (response.ok) update(document.querySelector("main"), page.querySelector("main"));
      document.title = "Ophion agent";
    } catch {
      document.title = "Ophion agent (not reachable)";
    }
  }
  setTimeout(refresh, everyMilliseconds);
}

setTimeout(refresh, everyMilliseconds);
