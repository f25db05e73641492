use super::*;

#[test]
fn structured_meshes_have_their_counts_and_boundaries() {
    let line = Mesh::interval(5, [0.0, 2.0]).unwrap();
    assert_eq!((line.point_count(), line.cell_count(), line.boundary().len()), (6, 5, 2));
    let unit = [[0.0, 1.0]; 2];
    let triangles = Mesh::rectangle([3, 2], unit, CellKind::Triangle).unwrap();
    assert_eq!((triangles.point_count(), triangles.cell_count()), (12, 12));
    assert_eq!(triangles.boundary().len(), 10);
    let quads = Mesh::rectangle([3, 2], unit, CellKind::Quad).unwrap();
    assert_eq!((quads.cell_count(), quads.boundary().len()), (6, 10));
    let tets = Mesh::cuboid([2, 3, 1], [[0.0, 1.0]; 3]).unwrap();
    assert_eq!((tets.point_count(), tets.cell_count()), (24, 36));
    // Two triangles for each of the 2 (6 + 2 + 3) faces of boxes outside.
    assert_eq!(tets.boundary().len(), 44);
}

#[test]
fn one_cell_is_a_mesh() {
    let mesh = Mesh::new(CellKind::Triangle, vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0], vec![0, 1, 2]);
    assert_eq!(mesh.unwrap().boundary().len(), 3);
    let one = Mesh::interval(1, [0.0, 1.0]).unwrap();
    assert_eq!(one.boundary(), [Facet { cell: 0, local: 0 }, Facet { cell: 0, local: 1 }]);
}

#[test]
fn what_cannot_be_used_is_said() {
    let message = |kind, points: &[f64], cells: &[usize]| {
        Mesh::new(kind, points.to_vec(), cells.to_vec()).unwrap_err().to_string()
    };
    let corners = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
    let t = CellKind::Triangle;
    assert_eq!(
        message(t, &[], &[]),
        "mesh: there are no coordinates; give at least one cell and its points"
    );
    assert_eq!(
        message(t, &corners, &[0, 1]),
        "mesh: 2 corners are no multiple of 3; give 3 for each cell"
    );
    assert_eq!(
        message(t, &corners, &[0, 1, 7]),
        "mesh: cell 0 names point 7, but there are 3 points, counted from 0"
    );
    assert!(message(t, &corners, &[0, 2, 1]).contains("positive orientation"));
    assert!(message(t, &[0.0, 0.0, 1.0, 0.0, 2.0, 0.0], &[0, 1, 2]).contains("cell 0 has volume"));
    let spare = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 5.0, 5.0];
    assert!(message(t, &spare, &[0, 1, 2]).contains("point 3 belongs to no cell"));
    assert!(message(t, &[0.0, f64::NAN, 1.0, 0.0, 0.0, 1.0], &[0, 1, 2]).contains("point 0"));
    let fan = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.5, 2.0, 0.5, 3.0];
    assert!(message(t, &fan, &[0, 1, 2, 0, 1, 3, 0, 1, 4]).contains("more than two cells"));
    let dart = [0.0, 0.0, 1.0, 0.0, 0.1, 0.1, 0.0, 1.0];
    assert!(message(CellKind::Quad, &dart, &[0, 1, 2, 3]).contains("cell 0 has volume"));
    let none = Mesh::rectangle([0, 2], [[0.0, 1.0]; 2], t).unwrap_err().to_string();
    assert_eq!(none, "mesh: number of cells [0, 2] is not possible; at least 1 along every axis");
    assert!(Mesh::interval(3, [1.0, 1.0]).is_err());
    assert!(Mesh::rectangle([1, 1], [[0.0, 1.0]; 2], CellKind::Segment).is_err());
}
