; The guest that obeys: it drives virtio-gpu and gives every head the size that the host asks for.
;
;   nasm -f bin -o virtio.bin virtio.asm
;   qemu-system-x86_64 -kernel virtio.bin -device virtio-vga[,max_outputs=N] -serial ...
;
; A multiboot kernel without a file format. It looks at the device's display event 60 times a second; after one,
; each of the first four heads whose size is another than before gets a new resource of that size with the picture
; below, and a head that was switched off is given up. Each head has 40 MiB / N for its pixels (what QEMU's 64 MiB
; leave); it stays as it is when the new size does not fit there, or is less than the 16x16 that QEMU demands.
;
; The pixel at (x, y) of the head n with w x h pixels has
;   red: x / 4,  green: y / 4, plus 128 where bit 5 of x differs from that of y,  blue: w + 3 * h + 85 * n
; each without its higher bits. A control byte on COM1 chooses the device's cursor, 64x64 pixels: 0x11 a triangle,
; opaque where x + y < 64, there red: 4 * x, green: 4 * y, blue: 128, hot spot (3, 5); 0x12 an orange (FF8000)
; square, x and y from 16 to 47, hot spot (32, 32); 0x13 none (as at the start). It goes where the pointer is. The
; control byte 0x14 gives the second head 1024x768 pixels, whatever the host asks for.
;
; On COM1 it says, in decimal: "READY" when the first picture stands, "HEAD n wxh" when a new one does, "HEAD n off",
; "HEAD n unfit", "CURSOR n" (0: none) after a control byte; and in hexadecimal digits, as screen.asm does, "Kxx"
; for every scan code byte, "Mbb xxxx yyyy" for every report of the pointer (pixels of head 0), and "Wxx" when it
; tells of the wheel. "NO DEVICE" and "ERROR xxxxxxxx" (what virtio-gpu answered) are the end.
bits 32
LOAD        equ 0x100000
STACK       equ 0x90000
IDT         equ 0x91000
CONTROL     equ 0x200000            ; the queues, a page each
CURSOR      equ 0x201000
REQUEST     equ 0x202000
RESPONSE    equ 0x203000
DISPLAYS    equ 0x204000            ; a copy of the last display information
SHAPES      equ 0x210000            ; the pictures of the cursors, 16 KiB each
FRAMES      equ 0x1000000
FRAMES_SIZE equ 0x2800000
MAX_HEADS   equ 4

; virtio 1.2, section 4.1.4.3: the common configuration
DRIVER_FEATURE_SELECT equ 8
DRIVER_FEATURE        equ 12
DEVICE_STATUS         equ 20
QUEUE_SELECT          equ 22
QUEUE_SIZE            equ 24
QUEUE_ENABLE          equ 28
QUEUE_NOTIFY_OFF      equ 30
QUEUE_DESCRIPTORS     equ 32
QUEUE_AVAILABLE       equ 40
QUEUE_USED            equ 48
; section 2.7: where the parts of a queue of 16 are in its page
AVAILABLE   equ 0x400
USED        equ 0x800
; a queue here: its page, its number, the address that wakes the device, how many requests it has had
struc queue
.page:      resd 1
.number:    resd 1
.notify:    resd 1
.count:     resd 1
endstruc
struc head
.width:     resd 1
.height:    resd 1
.resource:  resd 1                  ; 0: it shows nothing
.size:
endstruc
; section 5.7.6: requests
GET_DISPLAY_INFO equ 0x100
CREATE_2D        equ 0x101
UNREF            equ 0x102
SET_SCANOUT      equ 0x103
FLUSH            equ 0x104
TRANSFER         equ 0x105
ATTACH_BACKING   equ 0x106
UPDATE_CURSOR    equ 0x300
MOVE_CURSOR      equ 0x301
BGRA             equ 1
BGRX             equ 2
%define FIELD(n) dword [REQUEST + 24 + 4 * (n)]

org LOAD
header:
    dd 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    dd header, LOAD, 0, 0, start

align 8
gdt:
    dq 0
    dq 0x00cf9a000000ffff
    dq 0x00cf92000000ffff
gdt_register:
    dw 23
    dd gdt
idt_register:
    dw 48 * 8 - 1
    dd IDT

start:
    cli
    cld
    lgdt [gdt_register]
    jmp 8:.segments
.segments:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, STACK
    call start_serial
    call find_device
    call start_device
    call make_cursors
    call start_mouse
    call look
    mov esi, ready_text
    call write_text
    call start_timer
    sti

main:
    hlt
    call read_serial
    call read_keys
    call read_pointer
    mov esi, [device_structure]
    test byte [esi], 1              ; events_read: the display
    jz main
    mov dword [esi + 4], 1          ; events_clear
    call look
    jmp main

; ---- interrupts: the timer wakes the main loop, and that is all
start_timer:
    mov edi, IDT
    mov ecx, 48
.fill:
    mov eax, awake
    mov [edi], ax
    mov word [edi + 2], 8
    mov word [edi + 4], 0x8e00
    shr eax, 16
    mov [edi + 6], ax
    add edi, 8
    dec ecx
    jnz .fill
    lidt [idt_register]
    mov al, 0x11                    ; both interrupt controllers: vectors 32..47
    out 0x20, al
    out 0xa0, al
    mov al, 32
    out 0x21, al
    mov al, 40
    out 0xa1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xa1, al
    mov al, 1
    out 0x21, al
    out 0xa1, al
    mov al, ~1 & 0xff
    out 0x21, al
    mov al, 0xff
    out 0xa1, al
    mov al, 0x34                    ; 60 times a second
    out 0x43, al
    mov al, 19886 & 255
    out 0x40, al
    mov al, 19886 >> 8
    out 0x40, al
    ret

awake:
    push eax
    mov al, 0x20
    out 0x20, al
    pop eax
    iretd

; ---- PCI
pci_read:                           ; register eax of the device -> eax
    or eax, [device]
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    ret

find_device:
    xor eax, eax
    call pci_read
    cmp eax, 0x10501af4
    je .found
    add dword [device], 1 << 11
    cmp dword [device], 0x80010000
    jb find_device
    mov esi, no_device_text
    call write_text
    jmp stop
.found:
    mov eax, 4
    call pci_read
    or al, 6                        ; it answers in memory, and reads and writes ours
    out dx, eax
    mov eax, 0x34
    call pci_read
    movzx ebx, al
.capability:
    test ebx, ebx
    jz .end
    mov eax, ebx                    ; kind, the next one, length, structure
    call pci_read
    mov ecx, eax
    cmp cl, 9
    jne .next
    shr eax, 24
    cmp eax, 4
    ja .next
    mov esi, eax
    lea eax, [ebx + 4]              ; in which BAR it is,
    call pci_read
    movzx eax, al
    lea eax, [eax * 4 + 0x10]
    call pci_read
    and eax, ~15
    mov edi, eax
    lea eax, [ebx + 8]              ; and where there
    call pci_read
    add eax, edi
    mov [structures + esi * 4], eax
    cmp esi, 2
    jne .next
    lea eax, [ebx + 16]
    call pci_read
    mov [notify_multiplier], eax
.next:
    movzx ebx, ch
    jmp .capability
.end:
    ret

; ---- virtio
start_device:
    mov esi, [common_structure]
    mov byte [esi + DEVICE_STATUS], 0
.reset:
    cmp byte [esi + DEVICE_STATUS], 0
    jne .reset
    mov byte [esi + DEVICE_STATUS], 1
    mov byte [esi + DEVICE_STATUS], 3
    mov dword [esi + DRIVER_FEATURE_SELECT], 0
    mov dword [esi + DRIVER_FEATURE], 0
    mov dword [esi + DRIVER_FEATURE_SELECT], 1
    mov dword [esi + DRIVER_FEATURE], 1     ; version 1, nothing else
    mov byte [esi + DEVICE_STATUS], 11
    mov ebx, control_queue
    call start_queue
    mov ebx, cursor_queue
    call start_queue
    mov byte [esi + DEVICE_STATUS], 15
    mov esi, [device_structure]
    mov ecx, [esi + 8]              ; num_scanouts
    cmp ecx, MAX_HEADS
    jbe .few
    mov ecx, MAX_HEADS
.few:
    mov [heads_count], ecx
    mov eax, FRAMES_SIZE
    xor edx, edx
    div ecx
    and eax, ~4095
    mov [frame_size], eax
    ret

start_queue:                        ; ebx
    mov edi, [ebx + queue.page]
    mov ecx, 1024
    xor eax, eax
    rep stosd
    mov edi, [ebx + queue.page]
    mov eax, [ebx + queue.number]
    mov [esi + QUEUE_SELECT], ax
    mov word [esi + QUEUE_SIZE], 16
    mov [esi + QUEUE_DESCRIPTORS], edi
    mov dword [esi + QUEUE_DESCRIPTORS + 4], 0
    lea eax, [edi + AVAILABLE]
    mov [esi + QUEUE_AVAILABLE], eax
    mov dword [esi + QUEUE_AVAILABLE + 4], 0
    lea eax, [edi + USED]
    mov [esi + QUEUE_USED], eax
    mov dword [esi + QUEUE_USED + 4], 0
    movzx eax, word [esi + QUEUE_NOTIFY_OFF]
    imul eax, [notify_multiplier]
    add eax, [notify_structure]
    mov [ebx + queue.notify], eax
    mov word [esi + QUEUE_ENABLE], 1
    ret

begin:                              ; a request of the kind eax
    push edi
    push ecx
    push eax
    mov edi, REQUEST
    mov ecx, 32
    xor eax, eax
    rep stosd
    pop eax
    mov [REQUEST], eax
    pop ecx
    pop edi
    ret

; sends the request, ecx bytes, and waits until the device is done with it
control:
    push ebx
    mov ebx, control_queue
    call submit
    pop ebx
    cmp byte [RESPONSE + 1], 0x11
    jne failed
    ret
submit:                             ; by the queue ebx
    pusha
    mov esi, [ebx + queue.page]
    mov dword [esi], REQUEST
    mov [esi + 8], ecx
    mov dword [esi + 12], 1 | 1 << 16       ; goes on, with number 1
    mov dword [esi + 16], RESPONSE
    mov dword [esi + 24], 4096
    mov dword [esi + 28], 2                 ; for the device to write
    inc dword [ebx + queue.count]
    mov eax, [ebx + queue.count]
    mov [esi + AVAILABLE + 2], ax           ; the ring has nothing but number 0
    mov ecx, [ebx + queue.number]
    mov edi, [ebx + queue.notify]
    mov [edi], cx
.wait:
    pause
    cmp [esi + USED + 2], ax
    jne .wait
    popa
    ret

failed:
    mov esi, error_text
    call write_text
    mov ebx, [RESPONSE]
    mov ecx, 4
.byte:
    rol ebx, 8
    mov al, bl
    call write_hex
    loop .byte
    mov al, 10
    call write_byte
stop:
    cli
    hlt
    jmp stop

; ---- heads
look:                               ; at what the host wants, and do so
    mov eax, GET_DISPLAY_INFO
    call begin
    mov ecx, 24
    call control
    mov esi, RESPONSE + 24
    mov edi, DISPLAYS
    mov ecx, 16 * 24 / 4
    rep movsd
    xor ebp, ebp                    ; number of the head
.head:
    imul esi, ebp, 24               ; x, y, width, height, enabled, flags
    add esi, DISPLAYS
    imul ebx, ebp, head.size
    add ebx, heads
    cmp dword [esi + 16], 0
    je .off
    mov ecx, [esi + 8]
    mov edx, [esi + 12]
    cmp ecx, [ebx + head.width]
    jne .other
    cmp edx, [ebx + head.height]
    je .next
.other:
    cmp ecx, 16
    jb .unfit
    cmp edx, 16
    jb .unfit
    mov eax, ecx
    imul eax, edx
    shl eax, 2
    cmp eax, [frame_size]
    ja .unfit
    mov [ebx + head.width], ecx
    mov [ebx + head.height], edx
    call show
    call write_size
    jmp .next
.unfit:
    call write_head
    mov esi, unfit_text
    call write_text
    jmp .next
.off:
    xor eax, eax
    xchg eax, [ebx + head.resource]
    test eax, eax
    jz .next
    push eax
    mov dword [ebx + head.width], 0
    mov dword [ebx + head.height], 0
    call set_scanout
    pop eax
    call unref
    call write_head
    mov esi, off_text
    call write_text
.next:
    inc ebp
    cmp ebp, [heads_count]
    jb .head
    ret

show:                               ; a new resource for the head ebx, number ebp
    call draw
    inc dword [last_resource]
    mov eax, [last_resource]
    xchg eax, [ebx + head.resource]
    push eax
    mov edi, ebp
    imul edi, [frame_size]
    add edi, FRAMES
    mov esi, BGRX
    call make_resource
    call set_scanout
    mov eax, FLUSH
    call begin
    call rectangle
    mov eax, [ebx + head.resource]
    mov FIELD(4), eax
    mov ecx, 24 + 24
    call control
    pop eax
    test eax, eax
    jnz unref
    ret

make_resource:                      ; of the head ebx's size and number: pixels at edi, format esi
    mov eax, CREATE_2D
    call begin
    mov edx, [ebx + head.resource]
    mov FIELD(0), edx
    mov FIELD(1), esi
    mov eax, [ebx + head.width]
    mov FIELD(2), eax
    mov eax, [ebx + head.height]
    mov FIELD(3), eax
    mov ecx, 24 + 16
    call control
    mov eax, ATTACH_BACKING
    call begin
    mov FIELD(0), edx
    mov FIELD(1), 1
    mov FIELD(2), edi
    mov eax, [ebx + head.width]
    imul eax, [ebx + head.height]
    shl eax, 2
    mov FIELD(4), eax
    mov ecx, 24 + 24
    call control
    mov eax, TRANSFER
    call begin
    call rectangle
    mov FIELD(6), edx
    mov ecx, 24 + 32
    jmp control

set_scanout:                        ; of the number ebp to what the head ebx has
    mov eax, SET_SCANOUT
    call begin
    call rectangle
    mov FIELD(4), ebp
    mov eax, [ebx + head.resource]
    mov FIELD(5), eax
    mov ecx, 24 + 24
    jmp control

unref:                              ; eax
    push eax
    mov eax, UNREF
    call begin
    pop eax
    mov FIELD(0), eax
    mov ecx, 24 + 8
    jmp control

rectangle:                          ; all of the head ebx
    mov eax, [ebx + head.width]
    mov FIELD(2), eax
    mov eax, [ebx + head.height]
    mov FIELD(3), eax
    ret

draw:                               ; the picture of the head ebx, number ebp
    pusha
    mov eax, [ebx + head.height]
    lea eax, [eax * 2 + eax]
    add eax, [ebx + head.width]
    imul edx, ebp, 85
    add eax, edx
    movzx eax, al
    mov [blue], eax
    mov edi, ebp
    imul edi, [frame_size]
    add edi, FRAMES
    xor edx, edx                    ; row
.row:
    xor ecx, ecx                    ; column
.pixel:
    mov eax, ecx
    xor eax, edx
    and eax, 32
    shl eax, 2
    mov esi, edx
    shr esi, 2
    add eax, esi
    movzx eax, al
    shl eax, 8
    mov esi, ecx
    shl esi, 14
    and esi, 0xff0000
    or eax, esi
    or eax, [blue]
    mov [edi], eax
    add edi, 4
    inc ecx
    cmp ecx, [ebx + head.width]
    jb .pixel
    inc edx
    cmp edx, [ebx + head.height]
    jb .row
    popa
    ret

; ---- cursors
make_cursors:
    mov edi, SHAPES
    xor edx, edx                    ; row
.row:
    xor ecx, ecx                    ; column
.pixel:
    xor eax, eax
    lea esi, [ecx + edx]
    cmp esi, 64
    jae .triangle
    mov eax, ecx
    shl eax, 8
    or eax, edx
    shl eax, 10
    or eax, 0xff000080
.triangle:
    mov [edi], eax
    xor eax, eax
    lea esi, [ecx - 16]
    cmp esi, 32
    jae .square
    lea esi, [edx - 16]
    cmp esi, 32
    jae .square
    mov eax, 0xffff8000
.square:
    mov [edi + 0x4000], eax
    add edi, 4
    inc ecx
    cmp ecx, 64
    jb .pixel
    inc edx
    cmp edx, 64
    jb .row
    mov ebx, triangle
    mov edi, SHAPES
    mov esi, BGRA
    call make_resource
    mov ebx, square
    mov edi, SHAPES + 0x4000
    jmp make_resource

choose_cursor:                      ; al: 1, 2 or 3 (none)
    cmp al, 3
    jne .some
    xor al, al
.some:
    mov [cursor], al
    push eax
    mov eax, UPDATE_CURSOR
    call tell_cursor
    mov esi, cursor_text
    call write_text
    pop eax
    movzx eax, al
    call write_decimal
    mov al, 10
    jmp write_byte

tell_cursor:                        ; by the request eax
    call begin
    movzx eax, byte [cursor]
    mov FIELD(4), eax
    mov ecx, [hot_spots + eax * 8]
    mov edx, [hot_spots + eax * 8 + 4]
    mov FIELD(5), ecx
    mov FIELD(6), edx
    mov eax, [pointer_x]            ; where the picture's corner is
    sub eax, ecx
    mov FIELD(1), eax
    mov eax, [pointer_y]
    sub eax, edx
    mov FIELD(2), eax
    mov ecx, 24 + 32
    mov ebx, cursor_queue
    jmp submit

; ---- keyboard and pointer (VMware's mouse protocol, absolute)
read_keys:
    in al, 0x64
    test al, 1
    jz .none
    mov ah, al
    in al, 0x60
    test ah, 0x20
    jnz read_keys
    mov ah, 'K'
    call write_marked
    mov al, 10
    call write_byte
    jmp read_keys
.none:
    ret

%macro vmmouse 2                    ; command, argument
    mov eax, 0x564d5868
    mov ebx, %2
    mov ecx, %1
    mov edx, 0x5658
    in eax, dx
%endmacro

start_mouse:
    vmmouse 41, 0x45414552          ; read its id,
    vmmouse 39, 1                   ; which is one word,
    vmmouse 41, 0x53424152          ; then ask for absolute positions
    ret

read_pointer:
    vmmouse 40, 0
    movzx eax, ax
    cmp eax, 4
    jb .none
    vmmouse 39, 4
    push edx
    push eax
    imul ebx, [heads + head.width]  ; 0..65535 -> pixels
    shr ebx, 16
    mov [pointer_x], ebx
    imul ecx, [heads + head.height]
    shr ecx, 16
    mov [pointer_y], ecx
    pop eax
    mov ah, 'M'
    call write_marked
    mov ah, ' '
    mov al, [pointer_x + 1]
    call write_marked
    mov al, [pointer_x]
    call write_hex
    mov ah, ' '
    mov al, [pointer_y + 1]
    call write_marked
    mov al, [pointer_y]
    call write_hex
    mov al, 10
    call write_byte
    pop edx
    test dl, dl
    jz .still
    mov ah, 'W'
    mov al, dl
    call write_marked
    mov al, 10
    call write_byte
.still:
    cmp byte [cursor], 0
    je read_pointer
    mov eax, MOVE_CURSOR
    call tell_cursor
    jmp read_pointer
.none:
    ret

; ---- COM1, 115200 8n1
start_serial:
    mov dx, 0x3fb
    mov al, 0x80
    out dx, al
    mov dx, 0x3f8
    mov al, 1
    out dx, al
    inc dx
    xor al, al
    out dx, al
    mov dx, 0x3fb
    mov al, 3
    out dx, al
    mov dx, 0x3fa
    mov al, 7
    out dx, al
    ret

read_serial:
    mov dx, 0x3fd
    in al, dx
    test al, 1
    jz .none
    mov dx, 0x3f8
    in al, dx
    sub al, 0x10
    jbe read_serial
    cmp al, 4
    ja read_serial
    je .second_head
    call choose_cursor
    jmp read_serial
.second_head:
    cmp dword [heads_count], 2
    jb read_serial
    mov ebp, 1
    mov ebx, heads + head.size
    mov dword [ebx + head.width], 1024
    mov dword [ebx + head.height], 768
    call show
    call write_size
    jmp read_serial
.none:
    ret

write_byte:
    push edx
    push eax
    mov dx, 0x3fd
.wait:
    in al, dx
    test al, 0x20
    jz .wait
    pop eax
    mov dx, 0x3f8
    out dx, al
    pop edx
    ret

write_marked:                       ; the character ah, then al
    xchg al, ah
    call write_byte
    xchg al, ah
write_hex:                          ; al
    push eax
    shr al, 4
    call .digit
    pop eax
.digit:
    and al, 15
    add al, '0'
    cmp al, '9'
    jbe write_byte
    add al, 7
    jmp write_byte

write_decimal:                      ; eax
    pusha
    mov ebx, 10
    xor ecx, ecx
.divide:
    xor edx, edx
    div ebx
    push edx
    inc ecx
    test eax, eax
    jnz .divide
.digit:
    pop eax
    add al, '0'
    call write_byte
    loop .digit
    popa
    ret

write_size:                         ; of the head ebx, number ebp
    call write_head
    mov eax, [ebx + head.width]
    call write_decimal
    mov al, 'x'
    call write_byte
    mov eax, [ebx + head.height]
    call write_decimal
    mov al, 10
    jmp write_byte

write_head:                         ; its number: ebp
    mov esi, head_text
    call write_text
    mov eax, ebp
    call write_decimal
    mov al, ' '
    jmp write_byte

write_text:                         ; esi
    lodsb
    test al, al
    jz .end
    call write_byte
    jmp write_text
.end:
    ret

ready_text:     db "READY", 10, 0
no_device_text: db "NO DEVICE", 10, 0
error_text:     db "ERROR ", 0
head_text:      db "HEAD ", 0
off_text:       db "off", 10, 0
unfit_text:     db "unfit", 10, 0
cursor_text:    db "CURSOR ", 0
align 4
device:         dd 0x80000000       ; bus 0, device 0, function 0
structures:     dd 0                ; by their kinds
common_structure: dd 0
notify_structure: dd 0
                dd 0
device_structure: dd 0
notify_multiplier: dd 0
control_queue:  dd CONTROL, 0, 0, 0
cursor_queue:   dd CURSOR, 1, 0, 0
triangle:       dd 64, 64, 1        ; as heads
square:         dd 64, 64, 2
hot_spots:      dd 0, 0, 3, 5, 32, 32
last_resource:  dd 2
heads:          times MAX_HEADS dd 0, 0, 0
heads_count:    dd 0
frame_size:     dd 0
blue:           dd 0
pointer_x:      dd 0
pointer_y:      dd 0
cursor:         db 0
