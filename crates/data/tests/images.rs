//! Folders of images.
#![cfg(feature = "images")]

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use lisse_data::{DataError, ImageFolder, ImageOptions};

fn message<T>(result: Result<T, DataError>, root: &Path) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string().replace(&root.display().to_string(), "ROOT"),
    }
}

fn folder_of_two_classes() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for class in ["sky", "grass"] {
        fs::create_dir(root.path().join(class)).unwrap();
    }
    let save = |name: &str, color| {
        RgbImage::from_pixel(3, 2, Rgb(color)).save(root.path().join(name)).unwrap();
    };
    save("sky/b.png", [0, 0, 255]);
    save("sky/a.bmp", [0, 51, 255]);
    save("grass/1.PNG", [0, 255, 0]);
    fs::write(root.path().join("sky/notes.txt"), "not an image").unwrap();
    root
}

#[test]
fn classes_are_the_folders_in_order() {
    let root = folder_of_two_classes();
    let folder = ImageFolder::open(root.path(), ImageOptions::default()).unwrap();
    assert_eq!(folder.class_names, ["grass", "sky"]);
    assert_eq!(folder.labels, [0, 1, 1]);
    let images = folder.load(&[1, 0]).unwrap();
    assert_eq!(images.shape(), [2, 3, 2, 3]);
    let pixels = images.to_vec::<f32>();
    assert_eq!((pixels[0], pixels[6], pixels[12]), (0.0, 0.2, 1.0));
    let dataset = folder.dataset().unwrap();
    assert_eq!((dataset.len(), dataset.classes()), (3, Some(2)));
}

#[test]
fn images_are_scaled_and_grayed() {
    let root = folder_of_two_classes();
    let options = ImageOptions { size: Some([4, 5]), gray: true };
    let folder = ImageFolder::open(root.path(), options).unwrap();
    GrayImage::from_pixel(7, 7, Luma([255])).save(root.path().join("sky/c.png")).unwrap();
    let images = folder.load(&[0, 2]).unwrap();
    assert_eq!(images.shape(), [2, 1, 4, 5]);
}

#[test]
fn faults_are_named() {
    let root = folder_of_two_classes();
    let open = || ImageFolder::open(root.path(), ImageOptions::default());
    GrayImage::from_pixel(7, 5, Luma([255])).save(root.path().join("sky/c.png")).unwrap();
    assert_eq!(
        message(open().unwrap().dataset(), root.path()),
        "ROOT/sky/c.png: 5x7 pixels where ROOT/grass/1.PNG has 2x3 (height x width); set `ImageOptions::size` to scale them"
    );
    fs::write(root.path().join("sky/c.png"), "text").unwrap();
    let text = message(open().unwrap().load(&[3]), root.path());
    assert!(text.starts_with("ROOT/sky/c.png: not a readable image ("), "{text}");
    let folder = open().unwrap();
    fs::remove_file(root.path().join("sky/c.png")).unwrap();
    let text = message(folder.load(&[3]), root.path());
    assert!(text.starts_with("cannot read `ROOT/sky/c.png`: "), "{text}");

    fs::create_dir(root.path().join("void")).unwrap();
    assert_eq!(
        message(open(), root.path()),
        "ROOT/void: no images in this class; expected .png, .jpg, .jpeg or .bmp files"
    );
    let bare = tempfile::tempdir().unwrap();
    assert_eq!(
        message(ImageFolder::open(bare.path(), ImageOptions::default()), bare.path()),
        "ROOT: no sub-folders; expected one per class with its images in it"
    );
    let missing = bare.path().join("missing");
    let text = message(ImageFolder::open(&missing, ImageOptions::default()), bare.path());
    assert!(text.starts_with("cannot read `ROOT/missing`: "), "{text}");
}
