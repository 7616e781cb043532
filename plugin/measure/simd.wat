;; One pass over activations that lie in host memory: for every column of X [n, w], sums over the rows. 128-bit SIMD.
;;
;; Values are multiplied by `scale` first, a power of two that brings the largest near 1. Sums are taken in float32 over blocks
;; of 32 rows, too short for rounding to gather in, and added up in float64.
;;
;; w is a multiple of 4; where a tensor has fewer columns, the caller fills up with zeros. Memory from 0 to 127 holds the row
;; means of a block; the caller lays out the rest.
;;
;; The first two give the bits of the largest |scale x|. As unsigned integers, bits are in the order of the magnitudes, and from
;; 0x7f800000 on they stand for infinities and NaN.
(module
  (memory (export "memory") 1)

  ;; Adds to the float64 at `out`: w sums of squares, or of fourth powers where `fourth` is 1.
  (func (export "powers")
    (param $x i32) (param $n i32) (param $w i32) (param $scale f32) (param $out i32) (param $fourth i32) (result i32)
    (local $stride i32) (local $rows i32) (local $row i32) (local $at i32) (local $column i32) (local $to i32)
    (local $by v128) (local $v v128) (local $sum v128) (local $top v128)
    (local.set $stride (i32.shl (local.get $w) (i32.const 2)))
    (local.set $by (f32x4.splat (local.get $scale)))
    (loop $blocks
      (local.set $rows (select (local.get $n) (i32.const 32) (i32.lt_u (local.get $n) (i32.const 32))))
      (local.set $column (i32.const 0))
      (local.set $to (local.get $out))
      (loop $columns ;; 4 at once
        (local.set $sum (v128.const i32x4 0 0 0 0))
        (local.set $at (i32.add (local.get $x) (local.get $column)))
        (local.set $row (local.get $rows))
        (loop $rows_of_block
          (local.set $v (f32x4.mul (v128.load (local.get $at)) (local.get $by)))
          (local.set $top (i32x4.max_u (local.get $top)
            (v128.and (local.get $v) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))))
          (if (local.get $fourth) (then (local.set $v (f32x4.mul (local.get $v) (local.get $v)))))
          (local.set $sum (f32x4.add (local.get $sum) (f32x4.mul (local.get $v) (local.get $v))))
          (local.set $at (i32.add (local.get $at) (local.get $stride)))
          (br_if $rows_of_block (local.tee $row (i32.sub (local.get $row) (i32.const 1)))))
        (call $accumulate (local.get $to) (local.get $sum))
        (local.set $to (i32.add (local.get $to) (i32.const 32)))
        (br_if $columns (i32.lt_u
          (local.tee $column (i32.add (local.get $column) (i32.const 16))) (local.get $stride))))
      (local.set $x (i32.add (local.get $x) (i32.mul (local.get $rows) (local.get $stride))))
      (br_if $blocks (local.tee $n (i32.sub (local.get $n) (local.get $rows)))))
    (call $largest (local.get $top)))

  ;; Adds to the float64 at `out`: w sums of squares, w sums, and w sums of squares after each row's mean over its d columns is
  ;; taken away.
  (func (export "moments")
    (param $x i32) (param $n i32) (param $w i32) (param $d f64) (param $scale f32) (param $out i32) (result i32)
    (local $stride i32) (local $rows i32) (local $row i32) (local $at i32) (local $end i32) (local $column i32)
    (local $to i32) (local $piece i32)
    (local $by v128) (local $v v128) (local $low v128) (local $high v128)
    (local $squares v128) (local $sum v128) (local $centred v128) (local $top v128)
    (local.set $stride (i32.shl (local.get $w) (i32.const 2)))
    (local.set $piece (i32.shl (local.get $w) (i32.const 3)))
    (local.set $by (f32x4.splat (local.get $scale)))
    (loop $blocks
      (local.set $rows (select (local.get $n) (i32.const 32) (i32.lt_u (local.get $n) (i32.const 32))))

      (local.set $row (i32.const 0))
      (local.set $at (local.get $x))
      (loop $means
        (local.set $low (v128.const i32x4 0 0 0 0))
        (local.set $high (v128.const i32x4 0 0 0 0))
        (local.set $end (i32.add (local.get $at) (local.get $stride)))
        (loop $values
          (local.set $v (f32x4.mul (v128.load (local.get $at)) (local.get $by)))
          (local.set $low (f64x2.add (local.get $low) (f64x2.promote_low_f32x4 (local.get $v))))
          (local.set $high (f64x2.add (local.get $high) (f64x2.promote_low_f32x4
            (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $v) (local.get $v)))))
          (br_if $values (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
        (local.set $low (f64x2.add (local.get $low) (local.get $high)))
        (f32.store (i32.shl (local.get $row) (i32.const 2)) (f32.demote_f64 (f64.div
          (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low)))
          (local.get $d))))
        (br_if $means (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 1))) (local.get $rows))))

      (local.set $column (i32.const 0))
      (local.set $to (local.get $out))
      (loop $columns ;; 4 at once
        (local.set $squares (v128.const i32x4 0 0 0 0))
        (local.set $sum (v128.const i32x4 0 0 0 0))
        (local.set $centred (v128.const i32x4 0 0 0 0))
        (local.set $at (i32.add (local.get $x) (local.get $column)))
        (local.set $row (i32.const 0))
        (local.set $end (i32.shl (local.get $rows) (i32.const 2)))
        (loop $rows_of_block
          (local.set $v (f32x4.mul (v128.load (local.get $at)) (local.get $by)))
          (local.set $top (i32x4.max_u (local.get $top)
            (v128.and (local.get $v) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))))
          (local.set $squares (f32x4.add (local.get $squares) (f32x4.mul (local.get $v) (local.get $v))))
          (local.set $sum (f32x4.add (local.get $sum) (local.get $v)))
          (local.set $v (f32x4.sub (local.get $v) (v128.load32_splat (local.get $row))))
          (local.set $centred (f32x4.add (local.get $centred) (f32x4.mul (local.get $v) (local.get $v))))
          (local.set $at (i32.add (local.get $at) (local.get $stride)))
          (br_if $rows_of_block (i32.lt_u
            (local.tee $row (i32.add (local.get $row) (i32.const 4))) (local.get $end))))
        (call $accumulate (local.get $to) (local.get $squares))
        (call $accumulate (i32.add (local.get $to) (local.get $piece)) (local.get $sum))
        (call $accumulate (i32.add (local.get $to) (i32.shl (local.get $piece) (i32.const 1))) (local.get $centred))
        (local.set $to (i32.add (local.get $to) (i32.const 32)))
        (br_if $columns (i32.lt_u
          (local.tee $column (i32.add (local.get $column) (i32.const 16))) (local.get $stride))))
      (local.set $x (i32.add (local.get $x) (i32.mul (local.get $rows) (local.get $stride))))
      (br_if $blocks (local.tee $n (i32.sub (local.get $n) (local.get $rows)))))
    (call $largest (local.get $top)))

  ;; For every row the bits of its lower median magnitude, of d values, and of its largest one: two integers at `out`. All values are
  ;; finite; columns beyond d are NaN. The median is found by bisection over bits: how many values lie below a bound
  ;; is counted four at a time and without a branch, until the bound is next to the median.
  (func (export "medians") (param $x i32) (param $n i32) (param $w i32) (param $d i32) (param $out i32)
    (local $end i32) (local $at i32) (local $low i32) (local $high i32) (local $bound i32) (local $rank i32) (local $count i32)
    (local $v v128) (local $bounds v128) (local $is_below v128) (local $sum v128) (local $below v128) (local $above v128)
    (local.set $rank (i32.shr_u (i32.sub (local.get $d) (i32.const 1)) (i32.const 1)))
    (loop $rows
      (local.set $end (i32.add (local.get $x) (i32.shl (local.get $w) (i32.const 2))))
      (local.set $below (v128.const i32x4 0 0 0 0))
      (local.set $above (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))
      (local.set $at (local.get $x))
      (loop $values
        (local.set $v (v128.and (v128.load (local.get $at))
          (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
        (local.set $above (i32x4.min_s (local.get $above) (local.get $v)))
        (local.set $below (i32x4.max_s (local.get $below) (v128.and (local.get $v)
          (i32x4.lt_s (local.get $v) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000)))))
        (br_if $values (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
      (local.set $low (call $smallest (local.get $above)))
      (local.set $high (call $largest (local.get $below)))
      (i32.store offset=4 (local.get $out) (local.get $high))
      (local.set $high (i32.add (local.get $high) (i32.const 1)))

      ;; No more than `rank` values lie below low, more than that below high.
      (local.set $bound (local.get $low))
      (local.set $count (i32.const 0))
      (block $next_to_it
        (loop $bisect
          (br_if $next_to_it (i32.eq (local.get $count) (local.get $rank)))
          (br_if $next_to_it (i32.eq (local.get $count) (i32.add (local.get $rank) (i32.const 1))))
          (local.set $bound (i32.shr_u (i32.add (local.get $low) (local.get $high)) (i32.const 1)))
          (if (i32.eq (local.get $bound) (local.get $low)) ;; the median stands in the row several times: it is low
            (then
              (local.set $count (i32.const 0))
              (br $next_to_it)))
          (local.set $bounds (i32x4.splat (local.get $bound)))
          (local.set $sum (v128.const i32x4 0 0 0 0))
          (local.set $at (local.get $x))
          (loop $values
            (local.set $v (v128.and (v128.load (local.get $at))
              (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
            (local.set $sum (i32x4.sub (local.get $sum) (i32x4.lt_s (local.get $v) (local.get $bounds))))
            (br_if $values (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
          (local.set $count (i32.add
            (i32.add (i32x4.extract_lane 0 (local.get $sum)) (i32x4.extract_lane 1 (local.get $sum)))
            (i32.add (i32x4.extract_lane 2 (local.get $sum)) (i32x4.extract_lane 3 (local.get $sum)))))
          (if (i32.gt_u (local.get $count) (local.get $rank))
            (then (local.set $high (local.get $bound)))
            (else (local.set $low (local.get $bound))))
          (br $bisect)))

      ;; The largest value below the bound, or the smallest that is not.
      (local.set $bounds (i32x4.splat (local.get $bound)))
      (local.set $below (v128.const i32x4 0 0 0 0))
      (local.set $above (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))
      (local.set $at (local.get $x))
      (loop $values
        (local.set $v (v128.and (v128.load (local.get $at))
          (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
        (local.set $is_below (i32x4.lt_s (local.get $v) (local.get $bounds)))
        (local.set $below (i32x4.max_s (local.get $below) (v128.and (local.get $v) (local.get $is_below))))
        (local.set $above (i32x4.min_s (local.get $above) (v128.or (local.get $v)
          (v128.and (local.get $is_below) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))))
        (br_if $values (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
      (i32.store (local.get $out) (if (result i32) (i32.gt_u (local.get $count) (local.get $rank))
        (then (call $largest (local.get $below)))
        (else (call $smallest (local.get $above)))))

      (local.set $out (i32.add (local.get $out) (i32.const 8)))
      (local.set $x (local.get $end))
      (br_if $rows (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))

  ;; Adds four float32 to the four float64 at an address.
  (func $accumulate (param $to i32) (param $v v128)
    (v128.store (local.get $to) (f64x2.add (v128.load (local.get $to)) (f64x2.promote_low_f32x4 (local.get $v))))
    (v128.store offset=16 (local.get $to) (f64x2.add (v128.load offset=16 (local.get $to)) (f64x2.promote_low_f32x4
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $v) (local.get $v))))))

  ;; The largest of four unsigned integers.
  (func $largest (param $v v128) (result i32)
    (local.set $v (i32x4.max_u (local.get $v)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $v) (local.get $v))))
    (i32x4.extract_lane 0 (i32x4.max_u (local.get $v)
      (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $v) (local.get $v)))))

  (func $smallest (param $v v128) (result i32)
    (local.set $v (i32x4.min_u (local.get $v)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $v) (local.get $v))))
    (i32x4.extract_lane 0 (i32x4.min_u (local.get $v)
      (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $v) (local.get $v)))))
)
