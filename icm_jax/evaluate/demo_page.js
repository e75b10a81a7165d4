// Shows the chosen quality and opponent everywhere on the page; the slider of each photo wipes between the two.
const photos = JSON.parse(document.getElementById("report").textContent);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

function show() {
  for (const photo of photos) {
    const section = document.getElementById(photo.name);
    const level = photo.levels[chosen("quality")];
    const find = (selector) => section.querySelector(selector);
    const opponent = level.entries[chosen("against")];
    find(".under").src = level.entries.own.picture;
    find(".over").src = opponent.picture;
    find(".tag.left").innerHTML = level.entries.own.tag;
    find(".tag.right").innerHTML = opponent.tag;
    for (const [name, entry] of Object.entries(level.entries)) {
      const crop = find(`[data-crop=${name}]`);
      crop.querySelector("img").src = entry.picture;
      crop.querySelector("figcaption").innerHTML = entry.tag;
    }
    for (const [name, map] of Object.entries(level.maps)) {
      find(`[data-map=${name}] img`).src = map.picture;
      find(`[data-map=${name}] .limit`).textContent = map.limit;
    }
    section.querySelectorAll("tbody tr").forEach((row, index) => {
      row.classList.toggle("current", index === Number(chosen("quality")));
    });
  }
}

document.querySelector(".controls").addEventListener("change", show);
for (const slider of document.querySelectorAll(".viewer input")) {
  slider.addEventListener("input", () => slider.parentElement.style.setProperty("--split", `${slider.value}%`));
}
show();
