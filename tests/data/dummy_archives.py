"""Archives of a few synthetic pictures each, in the layouts of the published ones.

python -m tests.data.dummy_archives DIR            one folder a data set, for `icm data build NAME --as-is`
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

HEIGHT, WIDTH = 24, 32


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth gradient with a few blocks, so that JPEG files stay small."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 5, columns * 4, rows + columns], axis=-1) + rng.integers(0, 90, 3)
    top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
    image[top : top + 8, left : left + 8] = rng.integers(0, 256, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def unit_normals(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Unit vectors, float32; the first row has none."""
    vectors = np.random.default_rng(seed).normal((0, 0, 2), size=(height, width, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors[0] = 0
    return vectors.astype(np.float32)


def save(path: Path, array: np.ndarray) -> np.ndarray:
    """Writes an image, or an array where the extension is .npy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return array


def save_palette(path: Path, label: np.ndarray) -> None:
    """A class map with colours, as VOC stores them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label)
    image.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
    image.save(path)


def as_pixels(normals: np.ndarray) -> np.ndarray:
    """Normals as n = 2v/255 − 1."""
    return np.round((normals + 1) * 127.5).astype(np.uint8)


def nyud(root: Path, archive: str = "mti_net") -> dict[str, dict[str, np.ndarray]]:
    """NYUD-v2 in one of its archives; returns what was written, by id."""
    folder = root / ("NYUDv2" if archive == "invpt" else "NYUD_MT")
    written: dict[str, dict[str, np.ndarray]] = {}
    for split, ids in {"train": ("0001", "0002", "0005"), "val": ("0003", "0004")}.items():
        (folder / "gt_sets").mkdir(parents=True, exist_ok=True)
        (folder / "gt_sets" / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for key in ids:
            written[key] = _nyud_example(folder, key, archive)
    return written


def _nyud_example(folder: Path, key: str, archive: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(int(key))
    labels = {
        "segmentation": rng.integers(0, 41, (HEIGHT, WIDTH)).astype(np.uint8),
        "depth": rng.uniform(0.5, 9.0, (HEIGHT, WIDTH)).astype(np.float32),
        "normals": unit_normals(int(key)),
        "edge": (rng.random((HEIGHT, WIDTH)) < 0.1).astype(np.uint8),
    }
    labels["depth"][:2] = 0
    save(folder / "images" / f"{key}{'.png' if archive == 'invpt' else '.jpg'}", picture(int(key)))
    if archive == "mti_net":
        save(folder / "normals" / f"{key}.npy", labels["normals"])
        save(folder / "edge" / f"{key}.npy", labels["edge"].astype(np.float32))
    else:
        save(folder / "normals" / f"{key}.png", as_pixels(labels["normals"]))
        save(folder / "edge" / f"{key}.png", labels["edge"] * 255)
    if archive == "astmt":
        for name in ("segmentation", "depth"):
            (folder / name).mkdir(exist_ok=True)
            savemat(folder / name / f"{key}.mat", {name: labels[name]})
    else:
        save(folder / "segmentation" / f"{key}.png", labels["segmentation"])
        save(folder / "depth" / f"{key}.npy", labels["depth"])
    return labels


def pascal(root: Path) -> dict[str, dict[str, np.ndarray]]:
    """PASCAL-Context; the second example of each list has no people."""
    folder = root / "PASCAL_MT"
    written: dict[str, dict[str, np.ndarray]] = {}
    lists = {"train": ("2008_000001", "2008_000002", "2008_000007"), "val": ("2008_000003", "2008_000004")}
    for split, ids in lists.items():
        (folder / "ImageSets" / "Context").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Context" / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for number, key in enumerate(ids):
            written[key] = _pascal_example(folder, key, with_people=number != 1)
    return written


def _pascal_example(folder: Path, key: str, with_people: bool) -> dict[str, np.ndarray]:
    seed = int(key[-6:])
    rng = np.random.default_rng(seed)
    semseg = np.repeat(np.repeat(rng.integers(0, 21, (3, 4)), 8, 0), 8, 1).astype(np.uint8)
    semseg[:, 0] = 255
    context = np.where(semseg < 10, 284, 2).astype(np.uint16)  # 284 has normals, 2 has none
    saliency = rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    normals = as_pixels(unit_normals(seed))
    parts = np.zeros((HEIGHT, WIDTH), np.uint8)
    parts[2:6, 4:9], parts[6:14, 3:10] = with_people * 1, with_people * 2
    save(folder / "JPEGImages" / f"{key}.jpg", picture(seed))
    save_palette(folder / "semseg" / ("VOC12" if seed % 2 else "pascal-context") / f"{key}.png", semseg)
    save(folder / "normals_distill" / f"{key}.png", normals)
    save(folder / "sal_distill" / f"{key}.png", saliency)
    for name in ("pascal-context/trainval", "human_parts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    savemat(folder / "pascal-context" / "trainval" / f"{key}.mat", {"LabelMap": context})
    _save_parts(folder / "human_parts" / f"{key}.mat", {"head": parts == 1, "torso": parts == 2}, with_people)
    return {"semseg": semseg, "context": context, "sal": saliency, "normals": normals, "human_parts": parts}


def _save_parts(path: Path, parts: dict[str, np.ndarray], with_people: bool) -> None:
    """The structure of PASCAL-Parts: an image's objects, an object's parts, each with a mask."""
    part_type, object_type = (
        [("part_name", object), ("mask", object)],
        [("class", object), ("class_ind", object), ("mask", object), ("parts", object)],
    )
    of_person = np.empty((1, len(parts)), part_type)
    for i, (name, mask) in enumerate(parts.items()):
        of_person[0, i] = (name, mask.astype(np.uint8))
    nothing = np.zeros((0, 0))
    objects = np.empty((1, 2), object_type)
    objects[0, 0] = ("dog", 12, np.ones((HEIGHT, WIDTH), np.uint8), nothing)
    person_mask = np.any(list(parts.values()), axis=0).astype(np.uint8)
    objects[0, 1] = ("person", 15, person_mask, of_person) if with_people else objects[0, 0].item()
    savemat(path, {"anno": {"imname": path.stem, "objects": objects}})


def photos(root: Path, count: int = 5) -> list[np.ndarray]:
    """PNG files named like Kodak's."""
    root.mkdir(parents=True, exist_ok=True)
    return [save(root / f"kodim{i + 1:02}.png", picture(i)) for i in range(count)]


def coco(root: Path, splits: tuple[str, ...] = ("train2017", "val2017")) -> dict[str, dict]:
    """COCO with a polygon, a crowd as run lengths and a photo without anything; returns the annotation files."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    categories = [{"id": i, "name": name} for i, name in ((1, "person"), (18, "dog"), (90, "toothbrush"))]
    written = {}
    for number, split in enumerate(splits):
        images, annotations = [], []
        for i in range(3):
            index = 100 * number + i + 1
            name = f"{index:012}.jpg"
            save(root / split / name, picture(index))
            images.append({"id": index, "file_name": name, "height": HEIGHT, "width": WIDTH})
            annotations += _coco_annotations(index) if i < 2 else []
        written[split] = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(written[split]))
    return written


def _coco_annotations(index: int) -> list[dict]:
    polygon = [4.5, 3.25, 20.0, 3.25, 20.0, 15.5, 4.5, 15.5]
    thing = {"category_id": 90, "bbox": [4.5, 3.25, 15.5, 12.25], "area": 189.87, "iscrowd": 0}
    crowd = {"category_id": 1, "bbox": [0.0, 0.0, 5.0, 24.0], "area": 120.0, "iscrowd": 1}
    runs = {"size": [HEIGHT, WIDTH], "counts": [0, 5 * HEIGHT, (WIDTH - 5) * HEIGHT]}
    return [
        {"id": 10 * index, "image_id": index, **thing, "segmentation": [polygon]},
        {"id": 10 * index + 1, "image_id": index, **crowd, "segmentation": runs},
    ]


def openimages(root: Path) -> list[str]:
    """Both tests of Open Images, with two photos; returns their ids."""
    ids = ["00146ba1e50ed8d8", "0032257bf3cd56d0"]
    for i, key in enumerate(ids):
        save(root / "images" / f"{key}.jpg", picture(i))
    mask = np.zeros((HEIGHT * 2, WIDTH * 2), np.uint8)
    mask[10:20, 12:40] = 255
    save(root / "masks" / f"{ids[0]}_a.png", mask)
    boxes = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
    boxes += f"{ids[0]},person,0.7983871,0.90645164,0.25,1.0,0\n{ids[0]},cell_phone,0.0,0.5,0.0,0.75,1\n"
    labels = "ImageID,LabelName,Confidence\n" + f"{ids[0]},person,1\n{ids[1]},person,0\n"
    masks = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"
    masks += f"{ids[0]}_a.png,{ids[0]},person,a,0.1875,0.625,0.2,0.4,0.9,\n"
    tables = {"detection_validation_5k_bbox": boxes, "segmentation_validation_bbox_5k": boxes}
    tables |= {f"{test}_validation_labels_5k": labels for test in ("detection", "segmentation")}
    tables["segmentation_validation_masks_5k"] = masks
    for name, table in tables.items():
        (root / f"{name}.csv").write_text(table)
    for test in ("detection", "segmentation"):
        (root / f"{test}_validation_input_5k.lst").write_text("".join(f"{key}.jpg\n" for key in ids))
    return ids


def imagenet(root: Path) -> None:
    """Three classes; the last photo of `val` is grey."""
    for split, count in (("train", 2), ("val", 1)):
        for number, name in enumerate(("n01440764", "n01443537", "n15075141")):
            for i in range(count):
                image = picture(10 * number + i)
                grey = split == "val" and number == 2
                save(root / split / name / f"{name}_{i}.JPEG", image[..., 0] if grey else image)


def main(folder: Path) -> None:
    """Writes all of them."""
    for archive in ("mti_net", "invpt", "astmt"):
        nyud(folder / f"nyud_{archive}", archive)
    pascal(folder / "pascal_mt")
    coco(folder / "coco")
    openimages(folder / "openimages")
    imagenet(folder / "imagenet")
    photos(folder / "kodak")
    print("\n".join(sorted(str(path) for path in folder.iterdir())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
