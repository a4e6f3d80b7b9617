// What is known of a point, in words; and where its box may stand.

// [what, words] for each thing that the page knows of point i.
function rowsOf(cloud, classes, i) {
  const rows = [["prediction", classes.names[cloud.prediction[i]]]];
  if (cloud.truth) rows.push(["truth", classes.names[cloud.truth[i]] ?? "not labelled"]);
  if (cloud.confidence) rows.push(["confidence", percentOf(cloud.confidence[i])]);
  const place = absolute(cloud, i);
  if (cloud.sensor) rows.push(["distance", `${Math.hypot(...place).toFixed(1)} m from the sensor`]);
  else rows.push(["position", `${place.map((metres) => metres.toFixed(2)).join(", ")} m`]);
  if (cloud.text) rows.push(["text", textOf(cloud, i)]);
  if (cloud.views?.[i]) {
    const many = `${cloud.views[i]}${cloud.views[i] === 255 ? " or more" : ""}`;
    const images = cloud.views[i] === 1 ? "1 image" : `${many} images`;
    rows.push(["votes", cloud.text[i] >= 2 ? `${images}, ${percentOf(cloud.share[i])} for it` : images]);
  }
  if (cloud.likeness) rows.push(["similarity", similarityOf(cloud, i)]);
  if (cloud.photos.length && !cloud.seen[i]) rows.push(["image", "none shows it"]);
  return rows;
}

const percentOf = (byte) => `${Math.round((100 * byte) / 255)} %`;

function textOf({ text, phrases }, i) {
  return text[i] >= 2 ? `“${phrases[text[i] - 2]}”` : text[i] ? "the image's caption alone" : "none";
}

function similarityOf({ likeness, similarity: [low, high] }, i) {
  const value = (low + ((high - low) * likeness[i]) / 255).toFixed(2);
  return likeness[i] ? value : `${value} or less`;
}

const sentenceOf = (rows) => `${rows.map(([what, words]) => `${what} ${words}`).join(", ")}.`;

// The rows as a list of terms; swatch: stands before the prediction.
function descriptionList(rows, swatch) {
  const list = document.createElement("dl");
  for (const [what, words] of rows) {
    const [row, term, text] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    [term.textContent, text.textContent] = [what, words];
    if (what === "prediction") text.prepend(swatch);
    row.append(term, text);
    list.append(row);
  }
  return list;
}

// The corner of a box of `size` beside the cursor, such that the box stays within `room`.
function boxCorner(cursor, size, room) {
  const gap = 14, edge = 4;
  return cursor.map((at, k) => {
    const after = at + gap, before = at - gap - size[k];
    const best = after + size[k] <= room[k] - edge ? after : before;
    return Math.max(edge, Math.min(best, room[k] - edge - size[k]));
  });
}
