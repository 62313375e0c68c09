"use strict";
const table = document.getElementById("all"), rows = [...table.tBodies[0].rows];
const shown = document.getElementById("shown"), filter = document.getElementById("filter");
const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
const number = (text) => (text === "" ? NaN : Number(text));

function sort(heading) {
  const column = heading.cellIndex, rising = heading.getAttribute("aria-sort") === "descending";
  const order = (first, second) => {
    const [a, b] = [key(first, column), key(second, column)], [x, y] = [number(a), number(b)];
    if (isNaN(x) !== isNaN(y) && (a === "" || b === "")) return a === "" ? 1 : -1; // blank: always last
    return (rising ? 1 : -1) * (isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y);
  };
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
  table.tBodies[0].append(...rows.sort(order));
}

function choose() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  shown.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
}

for (const button of table.tHead.querySelectorAll("button"))
  button.addEventListener("click", () => sort(button.closest("th")));
filter.addEventListener("input", choose);
choose();
